"""Named records in memory, as several hosts see them."""

from __future__ import annotations

from dataclasses import dataclass, field

from func_py.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A value and its version."""

    value: str
    version: int


@dataclass(slots=True)
class RecordStore:
    """What all hosts share."""

    records: dict[str, StoredRecord] = field(default_factory=dict)
    holders: dict[str, object] = field(default_factory=dict)


class MemoryRecords:
    """One host's view of a store. `is_down`: the store does not answer it."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.is_down = False

    async def read_record(self, key: str) -> StoredRecord | None:
        """See `Records.read_record`."""
        self._check()
        return self.store.records.get(key)

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """See `Records.write_record`."""
        self._check()
        stored = self.store.records.get(key)
        if (stored.version if stored else 0) != version:
            return False
        if self.store.holders.get(key, self) is not self:
            return False
        self.store.records[key] = StoredRecord(value, version + 1)
        return True

    async def hold_record(self, key: str) -> bool:
        """See `Records.hold_record`."""
        self._check()
        return self.store.holders.setdefault(key, self) is self

    async def release_record(self, key: str) -> None:
        """See `Records.release_record`."""
        self._check()
        if self.store.holders.get(key) is self:
            del self.store.holders[key]

    def die(self) -> None:
        """Lose every hold, as a host does that is seen as dead."""
        for key in [k for k, holder in self.store.holders.items() if holder is self]:
            del self.store.holders[key]

    def _check(self) -> None:
        if self.is_down:
            raise StorageUnavailable("the store is down")

"""Bounds the live executions and entities kept in memory, by bytes and by idle time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice

from func_py.durable.engine.slot import Slot

_CANDIDATES = 16


class SessionCache:
    """Least recently used first; among the oldest few the one that is cheapest to replay."""

    def __init__(self, limit_bytes: int, idle: timedelta, evict: Callable[[Slot], bool]) -> None:
        """`evict(slot)` drops what the slot holds and answers True, or False when it is in use."""
        self._limit = limit_bytes
        self._idle = idle
        self._evict = evict
        self._slots: OrderedDict[Slot, int] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    def used(self, slot: Slot, now: datetime) -> None:
        """A turn of this slot was committed; what it holds is worth keeping for now."""
        size = slot.size
        if size == 0:
            self.dropped(slot)
            return
        self.bytes += size - self._slots.get(slot, 0)
        self._slots[slot] = size
        self._slots.move_to_end(slot)
        slot.last_used = now
        while self.bytes > self._limit and self._evict_one():
            pass

    def dropped(self, slot: Slot) -> None:
        """The slot holds nothing any more."""
        self.bytes -= self._slots.pop(slot, 0)

    def evict_idle(self, now: datetime) -> int:
        """Drop everything unused for the idle time; how many slots that were."""
        old = []
        for slot in self._slots:
            if now - slot.last_used < self._idle:
                break
            old.append(slot)
        return sum(self._try(slot) for slot in old)

    def _evict_one(self) -> bool:
        oldest = list(islice(self._slots, _CANDIDATES))
        oldest.sort(key=lambda slot: slot.session.cost if slot.session is not None else 0)
        return any(self._try(slot) for slot in oldest)

    def _try(self, slot: Slot) -> bool:
        if self._evict(slot):
            self.dropped(slot)
            return True
        return False

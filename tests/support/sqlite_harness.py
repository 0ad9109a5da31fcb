"""The SQLite provider, whole and weakened, for the conformance suite."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from support.weak_hub import WeakHub

from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect

POLL = timedelta(milliseconds=5)


class SqliteHarness:
    """See `conformance.harness.Harness`. Hubs are files of one directory."""

    loses_turns = False
    has_transactions = True
    uses_queues = False

    def __init__(self, directory: Path, poll: timedelta = POLL) -> None:
        self.directory = directory
        self._poll = poll

    def hub(self, name: str = "TestHub", partition_count: int = 4) -> TaskHub:
        """See `Harness`."""
        return SqlTaskHub(SqliteDialect(self.directory, name), name, partition_count, self._poll)

    async def die(self, hub: TaskHub) -> None:
        """See `Harness`."""
        assert isinstance(hub, SqlTaskHub)
        await hub.die()


class WeakSqliteHarness(SqliteHarness):
    """The same behind `WeakHub`."""

    loses_turns = True
    has_transactions = False
    uses_queues = False

    def hub(self, name: str = "TestHub", partition_count: int = 4) -> TaskHub:
        """See `Harness`."""
        return WeakHub(super().hub(name, partition_count))

    async def die(self, hub: TaskHub) -> None:
        """See `Harness`."""
        assert isinstance(hub, WeakHub)
        await super().die(hub.hub)

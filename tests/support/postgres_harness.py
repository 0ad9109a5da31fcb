"""The PostgreSQL provider for the conformance suite."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.postgres.dialect import PostgresDialect

POLL = timedelta(milliseconds=100)


class _Hub(SqlTaskHub):
    """Knows as whom it was opened."""

    host_id = ""

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        self.host_id = host.host_id
        return await super().open(host)


class PostgresHarness:
    """See `conformance.harness.Harness`.

    Args:
        uri: Of the server.
        place: Names what belongs to this test. A schema of its own would be slow to make: hubs of
            one schema must not see each other anyway.
        schema: Of all its hubs.
    """

    loses_turns = False
    has_transactions = True
    uses_queues = False

    def __init__(
        self,
        uri: str,
        place: str,
        *,
        schema: str = "func_py",
        lease: timedelta = DEFAULT_LEASE,
        poll: timedelta = POLL,
    ) -> None:
        self.uri = uri
        self.schema = schema
        self._place = place
        self._lease = lease
        self._poll = poll

    def dialect(self, name: str = "TestHub") -> PostgresDialect:
        """Of one hub."""
        parameters = conninfo_to_dict(self.uri)
        return PostgresDialect(parameters, self.schema, f"{self._place}{name}", self._lease)

    def hub(self, name: str = "TestHub", partition_count: int = 4) -> TaskHub:
        """See `Harness`."""
        return _Hub(self.dialect(name), name, partition_count, self._poll)

    async def die(self, hub: TaskHub) -> None:
        """See `Harness`. What is left when its lease has run out is done at once."""
        assert isinstance(hub, _Hub)
        await hub.die()
        self.execute(f"delete from {self.schema}.hosts where host_id = '{hub.host_id}'")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement behind the provider's back; what it answers."""
        with psycopg.connect(self.uri) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

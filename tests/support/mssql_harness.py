"""The SQL Server provider for the conformance suite: on a real server, or translated."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from support.mssql_on_postgres import PostgresSession

from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.mssql.connection_string import Target, parse_connection_string
from func_py.durable.storage.sql.mssql.dialect import MssqlDialect
from func_py.durable.storage.sql.mssql.session import DriverSession, Session

POLL = timedelta(milliseconds=10)


class _Hub(SqlTaskHub):
    """Knows as whom it was opened."""

    host_id = ""

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        self.host_id = host.host_id
        return await super().open(host)


class MssqlHarness:
    """See `conformance.harness.Harness`.

    Args:
        place: Names what belongs to this test: hubs of one schema must not see each other anyway.
        server: Connection string of a SQL Server.
        postgres: Connection string of a PostgreSQL server that executes the statements instead.
        schema: Of all its hubs.
        lease: How long hosts live without a sign of life.
    """

    loses_turns = False
    has_transactions = True
    uses_queues = False

    def __init__(
        self,
        place: str,
        *,
        server: str = "",
        postgres: str = "",
        schema: str = "func_py_mssql",
        lease: timedelta = DEFAULT_LEASE,
    ) -> None:
        self.schema = schema
        self._place = place
        self._target = parse_connection_string(server or "Server=translated;Database=none")
        self._postgres = postgres
        self._lease = lease

    def dialect(self, name: str = "TestHub") -> MssqlDialect:
        """Of one hub."""
        hub = f"{self._place}{name}"
        return MssqlDialect(self._target, self.schema, hub, self._lease, connect=self._connect)

    def hub(self, name: str = "TestHub", partition_count: int = 4) -> TaskHub:
        """See `Harness`."""
        return _Hub(self.dialect(name), name, partition_count, POLL)

    async def die(self, hub: TaskHub) -> None:
        """See `Harness`. What is left when its lease has run out is done at once."""
        assert isinstance(hub, _Hub)
        await hub.die()
        self.execute(f"delete from [{self.schema}].hosts where host_id = '{hub.host_id}'")

    def execute(self, statement: str) -> None:
        """Execute a statement behind the provider's back."""
        with contextlib.closing(self._connect(self._target, 5000)) as session:
            session.execute(statement)

    def _connect(self, target: Target, wait_ms: int) -> Session:
        if self._postgres:
            return PostgresSession(self._postgres, wait_ms)
        return DriverSession(target, wait_ms)

"""PostgreSQL as a dialect: sessions, the hub's lock, transactions, leases of hosts, errors."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from func_py.durable.faults import reach
from func_py.durable.storage.base import HostRecord
from func_py.durable.storage.sql.connection import CommitInDoubt, Connection
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.migrations import load_migrations
from func_py.durable.storage.sql.postgres.connection import PostgresConnection, Raw, open_session
from func_py.durable.storage.sql.postgres.keeper import Keeper, channel_of
from func_py.durable.storage.sql.queries import Row, load_queries
from func_py.durable.storage.sql.rows import from_micros, host_row, host_rows
from func_py.errors import (
    InternalError,
    SchemaMismatch,
    StorageUnavailable,
    TaskHubNotFound,
    UserError,
)

_OLDEST_SERVER = 14

_NEVER = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
"""How the writer never finds what it changes, where there is an index. The server keeps plans that
it made when the tables were small, and takes each array for a long one: it would read all
instances, and whatever dead rows lie about, for each turn."""

_LOOKS = 3
"""How often in a lease time a host that waits for the hub's lock looks at who has it."""

_TABLES = (
    "origins",
    "history",
    "instances",
    "messages",
    "timers",
    "activities",
    "records",
    "record_holds",
    "partitions",
    "hosts",
)
"""What belongs to a hub, in the order in which it is deleted."""


class PostgresDialect:
    """One hub in a schema that all hubs of an installation share.

    See `Dialect` for what the methods promise.

    Args:
        parameters: Of libpq, by name.
        schema: The schema; made when it does not exist.
        hub: The hub's name.
        lease: How long this host lives without a sign of life. It tells the others.
    """

    provider = "postgres"
    boot_id = ""
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    refused: tuple[type[Exception], ...] = (
        psycopg.IntegrityError,
        psycopg.DataError,
        psycopg.ProgrammingError,
        psycopg.NotSupportedError,
        pg.ProgramLimitExceeded,
    )
    collided: tuple[type[Exception], ...] = (pg.DeadlockDetected, pg.SerializationFailure)

    def __init__(
        self,
        parameters: Mapping[str, Any],
        schema: str,
        hub: str,
        lease: timedelta = DEFAULT_LEASE,
    ) -> None:
        self._parameters = parameters
        self._schema = schema
        self._hub = hub
        self._lease = lease
        here = files(__package__)
        self._queries = load_queries(here / "queries.sql", "")
        self._migrations = load_migrations(here / "schema")
        self._number = 0
        self._host: HostRecord | None = None
        self._keeper: Keeper | None = None
        self._concerns: object = None
        self._seen: object = None
        self._in_transaction = False

    @property
    def location(self) -> str:
        """Server, database, schema and hub; no password."""
        host = self._parameters.get("host") or "localhost"
        database = self._parameters.get("dbname") or self._parameters.get("user") or ""
        port = self._parameters.get("port") or 5432
        return f"{host}:{port}/{database}, schema {self._schema}, hub {self._hub}"

    # ---- the hub ---------------------------------------------------------------------------

    def create(self, partition_count: int) -> None:
        """Create schema, tables and hub where they are missing, in one transaction."""
        with contextlib.closing(self._connect()) as connection:
            self._check_server(connection.raw)
            with self._locked(connection, self._schema):
                self._migrate(connection.raw)
                if connection.execute("insert_hub", self._hub, partition_count):
                    self._find_hub(connection)
                    hub = PostgresConnection(lambda: connection.raw, self._queries, self._number)
                    hub.execute_rows("insert_partitions", [(p,) for p in range(partition_count)])

    @staticmethod
    def _check_server(raw: Raw) -> None:
        version = raw.info.server_version // 10_000
        if version < _OLDEST_SERVER:
            raise UserError(
                f"The server is PostgreSQL {version}; the task hub needs {_OLDEST_SERVER} or newer."
            )
        encoding = raw.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise UserError(
                f"The database stores texts as {encoding}; the task hub needs one in UTF8."
            )

    def _migrate(self, raw: Raw) -> None:
        name = sql.Identifier(self._schema).as_string()
        found = raw.execute("select 1 from pg_namespace where nspname = $1", (self._schema,))
        if found.fetchone() is None:
            raw.execute(f"create schema {name}")
        version = self._version(raw)
        newest = self._migrations[-1].version
        if version > newest:
            raise self._mismatch(version)
        if version == 0:
            raw.execute("create table schema_version (version integer not null)")
            raw.execute("insert into schema_version (version) values (0)")
        for migration in self._migrations[version:]:
            half = len(migration.statements) // 2
            for number, statement in enumerate(migration.statements):
                if number == half:
                    reach("store.schema_half")
                raw.execute(statement)
        raw.execute("update schema_version set version = $1", (newest,))

    def _version(self, raw: Raw) -> int:
        """Of the schema; 0 when there is none."""
        row = raw.execute(self._queries["has_hubs"].text).fetchone()
        if row is None or not row[0]:
            return 0
        row = raw.execute(self._queries["schema_version"].text).fetchone()
        return 0 if row is None else int(row[0])

    def _find_hub(self, connection: PostgresConnection) -> bool:
        row = connection.row("hub", self._hub)
        if row is None:
            return False
        self._number = row[0]
        return True

    def delete(self) -> None:
        """Delete every row of the hub; the schema stays."""
        with contextlib.closing(self._connect()) as finder:
            if self._version(finder.raw) == 0 or not self._find_hub(finder):
                return
        with (
            contextlib.closing(self._connect(self._number)) as connection,
            self._locked(connection, self._lock_name),
        ):
            for host_id, *_ in connection.document(host_rows, "hosts"):
                if self.is_alive(connection, host_id):
                    raise UserError(
                        f"The task hub {self.location} is open in host {host_id}; stop it before "
                        "the hub is deleted. A host that was killed counts as running until its "
                        "lease time is over."
                    )
            for table in _TABLES:
                connection.execute(f"delete_hub_{table}")
            connection.execute("delete_hub")

    def connect(self) -> Connection:
        """The writer's connection; it comes back when it is lost."""
        connection = self._connect()
        try:
            version = self._version(connection.raw)
            if version not in (0, self._migrations[-1].version):
                raise self._mismatch(version)
            if version == 0 or not self._find_hub(connection):
                raise TaskHubNotFound(self.location)
        finally:
            connection.close()
        return PostgresConnection(self._open_writer, self._queries, self._number)

    def _open_writer(self) -> Raw:
        raw = open_session(self._parameters, self._schema)
        raw.execute(f"set lock_timeout = {max(1, self._lease_ms // _LOOKS)}")
        for way in _NEVER:
            raw.execute(f"set {way} = off")
        return raw

    def connect_reader(self) -> Connection:
        """A connection for reads, each a single statement and so one consistent view."""
        if not self._number:
            self.connect().close()  # finds the hub
        connect = functools.partial(open_session, self._parameters, self._schema, read_only=True)
        return PostgresConnection(connect, self._queries, self._number)

    def _connect(self, number: int = 0) -> PostgresConnection:
        connect = functools.partial(open_session, self._parameters, self._schema)
        return PostgresConnection(connect, self._queries, number)

    @property
    def _lease_ms(self) -> int:
        return self._lease // timedelta(milliseconds=1)

    def _mismatch(self, version: int) -> SchemaMismatch:
        required = f"schema version {self._migrations[-1].version}"
        return SchemaMismatch(self.location, f"schema version {version}", required)

    # ---- transactions ----------------------------------------------------------------------

    @property
    def _lock_name(self) -> str:
        return f"{self._schema}/{self._hub}"

    @contextlib.contextmanager
    def _locked(self, connection: PostgresConnection, name: str) -> Iterator[None]:
        """A transaction of nobody else who locks that name."""
        with connection.raw.transaction():
            connection.execute("lock_hub", _lock_key(name))
            yield

    @contextlib.contextmanager
    def transaction(self, connection: Connection, *, shared: bool) -> Iterator[None]:
        """One write transaction under the hub's lock.

        The lock is taken by a statement of its own, and each statement has its own view: what
        follows sees everything that was committed before the lock was had.
        """
        assert isinstance(connection, PostgresConnection)
        connection.revive()
        keeper = self._keeper
        is_overdue = keeper is not None and keeper.lease.is_overdue
        calls: list[tuple[str, list[object]]] = [
            (
                "share_hub" if shared and not is_overdue else "lock_hub",
                [_lock_key(self._lock_name)],
            )
        ]
        if self._host is not None:
            calls.append(("concerns", [self._host.host_id]))
        try:
            (_, mark), *concerns = self._begin(connection, calls)
            self._concerns = concerns[0] if concerns else None
            self._in_transaction = True
            if is_overdue and keeper is not None and self._host is not None:
                # Before anything else: this host may have been taken for dead.
                connection.execute("insert_host", *self.host_row(self._host))
            yield
            if not connection.has_ended:
                reach("store.before_commit")
                connection.commit()
        except BaseException as error:
            if connection.has_ended and connection.is_over(error):
                raise CommitInDoubt(lambda: self._was_committed(connection, mark)) from error
            with contextlib.suppress(psycopg.Error):
                connection.raw.execute("rollback")
            raise
        finally:
            self._in_transaction = False
        if is_overdue and keeper is not None:
            keeper.lease.entered()
        reach("store.after_commit")

    def _begin(
        self, connection: PostgresConnection, calls: Sequence[tuple[str, Sequence[object]]]
    ) -> list[tuple[Any, ...]]:
        for _ in range(2 * _LOOKS):
            try:
                return connection.begin(*calls)
            except pg.LockNotAvailable:
                # A host that was stopped amid a transaction, by whatever, holds the others up only
                # as long as it may be silent at all. (`idle_in_transaction_session_timeout` is no
                # help: the flush message that ends a pipeline of the driver disarms it.)
                connection.raw.execute("rollback")
                connection.execute("end_idle_holders", _lock_key(self._lock_name), self._lease_ms)
            except psycopg.OperationalError:
                if not connection.is_lost:
                    raise
                # It may have been lost long ago, and the server be there again.
                connection.revive()
        return connection.begin(*calls)

    @staticmethod
    def _was_committed(connection: PostgresConnection, mark: str) -> bool:
        connection.revive()
        try:
            row = connection.row("transaction_status", mark)
        except psycopg.DataError:
            # A server that never had it: one restored, or promoted, from before.
            return False
        status = None if row is None else row[0]
        if status == "in progress":
            raise psycopg.OperationalError("a transaction is still being committed")
        return status == "committed"

    def others_committed(self, connection: Connection) -> bool:
        """Is there mail, have leases or hosts changed, was work offered?"""
        assert isinstance(connection, PostgresConnection)
        if self._host is None:
            return True
        if not self._in_transaction:
            connection.revive()
            self._concerns = connection.row("concerns", self._host.host_id)
        assert isinstance(self._concerns, tuple)
        *marks, has_mail = self._concerns
        before, self._seen = self._seen, marks
        return has_mail or before != marks

    def stir(self, connection: Connection) -> tuple[object, object]:
        """It was read with the rest."""
        if not isinstance(self._concerns, tuple):
            return None, 0
        leases, offer, hosts, free, _ = self._concerns
        return (leases, hosts, free), offer

    def translate(self, error: Exception) -> Exception:
        """Missing rights are the user's to grant; most else may pass."""
        if not isinstance(error, psycopg.Error):
            return error
        text = f"the task hub {self.location}: {' '.join(str(error).split())}"
        if isinstance(error, pg.InsufficientPrivilege):
            return UserError(f"The database user may not do what is needed for {text}")
        if isinstance(error, self.refused):
            return InternalError(text)
        return StorageUnavailable(text)

    # ---- hosts -----------------------------------------------------------------------------

    def host_row(self, host: HostRecord) -> Row:
        """With the lease time, by which the others judge it."""
        return (*host_row(host, self.boot_id), self._lease_ms)

    def enter(self, host: HostRecord) -> None:
        """Begin to renew the host's lease and to listen."""
        self._host = host
        self._keeper = Keeper(host.host_id, self._lease, lambda: self._connect(self._number))

    def publish(self, functions: Sequence[str]) -> None:
        """Whoever is taken for dead enters with what it has now."""
        assert self._host is not None
        self._host = replace(self._host, functions=functions)

    @property
    def is_overdue(self) -> bool:
        """Its lease may have run out."""
        return self._keeper is not None and self._keeper.lease.is_overdue

    @property
    def bell(self) -> int | None:
        """A pipe that the keeper writes to."""
        return None if self._keeper is None else self._keeper.bell

    def answer_bell(self) -> None:
        """Read it empty."""
        if self._keeper is not None:
            self._keeper.answer()

    def ring(self, connection: Connection, host_id: str) -> None:
        """Notify the other's keeper. Who is not reached polls."""
        with contextlib.suppress(psycopg.Error):
            connection.execute("ring", channel_of(host_id))

    def leave(self, host_id: str) -> None:
        """Renew no more; the lease runs out."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def is_alive(self, connection: Connection, host_id: str) -> bool:
        """Its lease has not run out, by the server's clock."""
        row = connection.row("host_is_alive", host_id)
        return row is not None and bool(row[0])

    def alive_until(self, connection: Connection, host_id: str) -> datetime | None:
        """When its lease runs out."""
        row = connection.row("host_alive_until", host_id)
        return None if row is None else from_micros(row[0])

    def forget(self, host_id: str) -> None:
        """It has nothing outside the database."""


def _lock_key(name: str) -> int:
    """The number under which the server locks a name."""
    digest = hashlib.sha256(f"func-py {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)

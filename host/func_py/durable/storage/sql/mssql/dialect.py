"""SQL Server as a dialect: sessions, the hub's lock, transactions, leases of hosts, errors.

It has no notifications: hosts look for what others stored, more seldom the longer there is nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, TypeAlias

import mssql_python

from func_py.durable.faults import reach
from func_py.durable.storage.base import HostRecord
from func_py.durable.storage.sql.connection import CommitInDoubt, Connection
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.migrations import load_migrations
from func_py.durable.storage.sql.mssql.connection import COLLATION, MssqlConnection, fill, quoted
from func_py.durable.storage.sql.mssql.connection_string import Target
from func_py.durable.storage.sql.mssql.keeper import Keeper
from func_py.durable.storage.sql.mssql.session import (
    DRIVER_ERRORS,
    REFUSED,
    ConnectionRefused,
    Deadlocked,
    DriverSession,
    Session,
    lacks_rights,
)
from func_py.durable.storage.sql.queries import Row, load_queries
from func_py.durable.storage.sql.rows import from_micros, host_row, host_rows
from func_py.errors import (
    InternalError,
    SchemaMismatch,
    StorageUnavailable,
    TaskHubNotFound,
    UserError,
)

Connect: TypeAlias = Callable[[Target, int], Session]

_OLDEST_SERVER = 14
"""SQL Server 2017: `string_agg`."""

_OLDEST_LEVEL = 130
"""Compatibility level of a database that has `openjson`."""

_ON_PREMISES = frozenset({1, 2, 3, 4})
"""Editions whose version says what they can do."""

_DEADLOCKED = -3
_LOCK_TIMED_OUT = -1

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
    "commits",
    "hosts",
)
"""What belongs to a hub, in the order in which it is deleted."""


class MssqlDialect:
    """One hub in a schema that all hubs of an installation share.

    See `Dialect` for what the methods promise.

    Args:
        target: The server and the database.
        schema: The schema; made when it does not exist.
        hub: The hub's name.
        lease: How long this host lives without a sign of life. It tells the others.
        creates_database: Make the database when it does not exist.
        connect: Makes sessions; the second argument is how long statements wait, in milliseconds.
    """

    provider = "mssql"
    boot_id = ""
    bell: int | None = None
    errors: tuple[type[Exception], ...] = DRIVER_ERRORS
    refused: tuple[type[Exception], ...] = REFUSED
    collided: tuple[type[Exception], ...] = (Deadlocked,)

    def __init__(
        self,
        target: Target,
        schema: str,
        hub: str,
        lease: timedelta = DEFAULT_LEASE,
        *,
        creates_database: bool = False,
        connect: Connect = DriverSession,
    ) -> None:
        self._target = target
        self._schema = schema
        self._hub = hub
        self._lease = lease
        self._creates_database = creates_database
        self._connect_to = connect
        here = files(__package__)
        self._queries = load_queries(here / "queries.sql", "")
        self._migrations = load_migrations(here / "schema")
        self._number = 0
        self._host: HostRecord | None = None
        self._keeper: Keeper | None = None
        self._mark = 0
        self._concerns: tuple[Any, ...] | None = None
        self._seen: object = None
        self._in_transaction = False

    @property
    def location(self) -> str:
        """Server, database, schema and hub; no password."""
        database = self._target.database or "(the login's database)"
        return f"{self._target.server}/{database}, schema {self._schema}, hub {self._hub}"

    # ---- the hub ---------------------------------------------------------------------------

    def create(self, partition_count: int) -> None:
        """Create database, schema, tables and hub where they are missing."""
        if self._creates_database and self._target.database:
            self._create_database(self._target.database)
        with contextlib.closing(self._connect()) as connection:
            self._check_database(connection)
            with self._locked(connection, self._schema):
                self._migrate(connection)
                if connection.execute("insert_hub", self._hub, partition_count):
                    self._find_hub(connection)
                    hub = MssqlConnection(
                        lambda: connection.raw, self._queries, self._schema, self._number
                    )
                    hub.execute_rows("insert_partitions", [(p,) for p in range(partition_count)])

    def _create_database(self, database: str) -> None:
        master = self._target.of_database("master")
        with contextlib.closing(self._connect(target=master)) as connection:
            if connection.row("has_database", database) != (0,):
                return
            # Neither can be done inside a transaction.
            name = quoted(database)
            connection.raw.execute(f"create database {name} collate {COLLATION}")
            connection.raw.execute(
                f"alter database {name} set read_committed_snapshot on with rollback immediate"
            )

    @staticmethod
    def _check_database(connection: MssqlConnection) -> None:
        row = connection.row("database")
        assert row is not None
        version, edition, level, reads_versions, name = row
        if edition in _ON_PREMISES and version < _OLDEST_SERVER:
            raise UserError(
                f"The server is SQL Server {version}.x; the task hub needs {_OLDEST_SERVER}.x "
                "(SQL Server 2017) or newer."
            )
        if level < _OLDEST_LEVEL:
            raise UserError(
                f"The database {name} has compatibility level {level}; the task hub needs "
                f"{_OLDEST_LEVEL} or higher: alter database {quoted(name)} set "
                f"compatibility_level = {_OLDEST_LEVEL}"
            )
        if not reads_versions:
            raise UserError(
                f"In the database {name} readers and writers wait for each other, and what is read "
                "need not fit together. The task hub needs versions of rows: "
                f"alter database {quoted(name)} set read_committed_snapshot on"
            )

    def _migrate(self, connection: MssqlConnection) -> None:
        if connection.row("has_schema", self._schema) == (0,):
            connection.raw.execute(f"create schema {quoted(self._schema)}")
        version = self._version(connection)
        newest = self._migrations[-1].version
        if version > newest:
            raise self._mismatch(version)
        if version == 0:
            connection.execute("create_schema_version")
            connection.execute("insert_schema_version")
        for migration in self._migrations[version:]:
            half = len(migration.statements) // 2
            for number, statement in enumerate(migration.statements):
                if number == half:
                    reach("store.schema_half")
                connection.raw.execute(fill(statement, self._schema))
        connection.execute("set_schema_version", newest)

    def _version(self, connection: MssqlConnection) -> int:
        """Of the schema; 0 when there is none. Raises UserError for tables of another program."""
        tables: list[str] = connection.names("tables", self._schema)
        if "schema_version" in tables:
            row = connection.row("schema_version")
            return 0 if row is None else int(row[0])
        if tables:
            raise UserError(
                f"The schema {self._schema} of {self._target.server} has tables of another "
                "program, the official host perhaps. Set storageProvider.schemaName to another one."
            )
        return 0

    def _find_hub(self, connection: MssqlConnection) -> bool:
        row = connection.row("hub", self._hub)
        if row is None:
            return False
        self._number = row[0]
        return True

    def delete(self) -> None:
        """Delete every row of the hub; the schema stays."""
        with contextlib.closing(self._connect()) as finder:
            if self._version(finder) == 0 or not self._find_hub(finder):
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
        with contextlib.closing(self._connect()) as connection:
            version = self._version(connection)
            if version not in (0, self._migrations[-1].version):
                raise self._mismatch(version)
            if version == 0 or not self._find_hub(connection):
                raise TaskHubNotFound(self.location)
        return self._connect(self._number)

    def connect_reader(self) -> Connection:
        """A connection for reads, each a single statement and so one consistent view."""
        if not self._number:
            self.connect().close()  # finds the hub
        return self._connect(self._number)

    def _connect(self, number: int = 0, target: Target | None = None) -> MssqlConnection:
        def connect() -> Session:
            wait_ms = self._lease_ms
            return self._connect_to(target or self._target, wait_ms)

        return MssqlConnection(connect, self._queries, self._schema, number)

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
    def _locked(self, connection: MssqlConnection, name: str) -> Iterator[None]:
        """A transaction of nobody else who locks that name."""
        connection.execute("begin")
        try:
            self._check_granted(connection.row("lock", *self._lock(name, shared=False)))
            yield
            connection.execute("commit")
        except BaseException:
            self._roll_back(connection)
            raise

    @contextlib.contextmanager
    def transaction(self, connection: Connection, *, shared: bool) -> Iterator[None]:
        """One write transaction under the hub's lock.

        Each statement has its own view, and the lock is had before the first one that matters:
        what follows sees everything that was committed before.
        """
        assert isinstance(connection, MssqlConnection)
        connection.revive()
        keeper = self._keeper
        is_overdue = self.is_overdue
        self._mark += 1
        mark = self._mark
        lock = self._lock(self._lock_name, shared=shared and not is_overdue)
        try:
            self._begin(connection, [*lock, self._host_id, mark])
            self._in_transaction = True
            if is_overdue and self._host is not None:
                # Before anything else: this host may have been taken for dead.
                connection.execute("insert_host", *self.host_row(self._host))
            yield
            reach("store.before_commit")
        except BaseException:
            self._roll_back(connection)
            raise
        finally:
            self._in_transaction = False
        try:
            connection.execute("commit")
        except mssql_python.Error as error:
            if not connection.is_lost:
                self._roll_back(connection)
                raise
            raise CommitInDoubt(lambda: self._was_committed(connection, mark)) from error
        if is_overdue and keeper is not None:
            keeper.lease.entered()
        reach("store.after_commit")

    @property
    def _host_id(self) -> str:
        """Under which transactions are marked; the hub's own while no host has entered."""
        return "" if self._host is None else self._host.host_id

    def _begin(self, connection: MssqlConnection, values: Sequence[object]) -> None:
        try:
            connection.execute("begin")
        except mssql_python.Error:
            if not connection.is_lost:
                raise
            # It may have been lost long ago, and the server be there again.
            connection.revive()
            connection.execute("begin")
        row = connection.row("enter", *values)
        self._check_granted(row)
        self._concerns = None if row is None else row[1:]

    def _lock(self, name: str, *, shared: bool) -> list[object]:
        """Values for a lock: the server compares names of up to 255 characters."""
        digest = hashlib.sha256(f"func-py {name}".encode()).hexdigest()
        return [digest, "Shared" if shared else "Exclusive", self._lease_ms]

    @staticmethod
    def _check_granted(row: tuple[Any, ...] | None) -> None:
        answer = _LOCK_TIMED_OUT if row is None else row[0]
        if answer == _DEADLOCKED:
            raise Deadlocked("The hub's lock was not granted", "deadlock")
        if answer < 0:
            raise mssql_python.OperationalError(
                "The hub's lock was not granted", f"sp_getapplock answered {answer}"
            )

    @staticmethod
    def _roll_back(connection: MssqlConnection) -> None:
        with contextlib.suppress(mssql_python.Error):
            connection.execute("rollback")

    def _was_committed(self, connection: MssqlConnection, mark: int) -> bool:
        connection.revive()
        row = connection.row("commit_mark", self._host_id)
        return row is not None and row[0] >= mark

    def others_committed(self, connection: Connection) -> bool:
        """Is there mail, have leases or hosts changed, was work offered?"""
        assert isinstance(connection, MssqlConnection)
        if self._host is None:
            return True
        if not self._in_transaction:
            connection.revive()
            self._concerns = connection.row("concerns", self._host.host_id)
        assert self._concerns is not None
        *marks, has_mail = self._concerns
        before, self._seen = self._seen, marks
        return bool(has_mail) or before != marks or self.is_overdue

    def stir(self, connection: Connection) -> tuple[object, object]:
        """It was read with the rest."""
        if self._concerns is None:
            return None, 0
        leases, offer, hosts, free, _ = self._concerns
        return (leases, hosts, free), offer

    def translate(self, error: Exception) -> Exception:
        """What is the user's to change, and what may pass."""
        if not isinstance(error, mssql_python.Error):
            return error
        words = " ".join(f"{error.driver_error}: {error.ddbc_error}".split())
        text = f"the task hub {self.location}: {words}"
        if isinstance(error, ConnectionRefused):
            return UserError(f"No connection to {text}{_advice(words)}")
        if lacks_rights(error):
            return UserError(f"The database user may not do what is needed for {text}")
        if isinstance(error, self.refused):
            return InternalError(text)
        return StorageUnavailable(text)

    # ---- hosts -----------------------------------------------------------------------------

    def host_row(self, host: HostRecord) -> Row:
        """With the lease time, by which the others judge it."""
        return (*host_row(host, self.boot_id), self._lease_ms)

    def enter(self, host: HostRecord) -> None:
        """Begin to renew the host's lease."""
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

    def answer_bell(self) -> None:
        """There is none."""

    def ring(self, connection: Connection, host_id: str) -> None:
        """Nothing: the other one looks by itself."""

    def leave(self, host_id: str) -> None:
        """Renew no more; the lease runs out."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def is_alive(self, connection: Connection, host_id: str) -> bool:
        """Its lease has not run out, by the server's clock."""
        return connection.row("host_is_alive", host_id) == (1,)

    def alive_until(self, connection: Connection, host_id: str) -> datetime | None:
        """When its lease runs out."""
        row = connection.row("host_alive_until", host_id)
        return None if row is None else from_micros(row[0])

    def forget(self, host_id: str) -> None:
        """It has nothing outside the database."""


def _advice(words: str) -> str:
    """What helps against a connection that is refused for good."""
    if "Failed to load the driver" in words:
        return (
            "\n  The ODBC driver inside of mssql-python needs the system libraries libltdl and "
            "Kerberos: on Debian and Ubuntu, apt-get install libltdl7 libgssapi-krb5-2."
        )
    if "Cannot open database" in words:
        return "\n  Create the database, or set storageProvider.createDatabaseIfNotExists to true."
    return ""

"""SQLite as a dialect: files, locks, transactions and errors."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from func_py.durable.faults import reach
from func_py.durable.storage.base import HostRecord
from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.migrations import load_migrations
from func_py.durable.storage.sql.queries import Row, load_queries
from func_py.durable.storage.sql.rows import host_row, host_rows
from func_py.durable.storage.sql.sqlite.bell import Bell, ring
from func_py.durable.storage.sql.sqlite.host_files import HELD
from func_py.durable.storage.sql.sqlite.transaction import Transaction
from func_py.durable.storage.sql.sqlite.turnstile import Turnstile
from func_py.errors import (
    InternalError,
    SchemaMismatch,
    StorageUnavailable,
    TaskHubNotFound,
    UserError,
)

_APPLICATION_ID = 0x46504879
"""Marks our files in SQLite's header, so that another program's database is not taken for one."""

_OLDEST_SQLITE = (3, 37, 0)
"""Strict tables."""

_BUSY_PAUSE_S = 0.01
_BUSY_TIMEOUT_S = 10.0
"""Writers queue on the lock file; only foreign programs (a shell, a backup) make SQLite wait."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteDialect:
    """The file `<state_dir>/<hub>.db`, its lock file and its folder of host files.

    See `Dialect` for what the methods promise.
    """

    provider = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    refused: tuple[type[Exception], ...] = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
    )
    collided: tuple[type[Exception], ...] = ()

    def __init__(self, state_dir: Path, hub: str) -> None:
        # Resolved: the same host file must have one name in this process.
        state_dir = state_dir.resolve()
        self._path = state_dir / f"{hub}.db"
        self._lock_path = state_dir / f"{hub}.db.lock"
        self._hosts = state_dir / f"{hub}.hosts"
        here = files(__package__)
        self._queries = load_queries(here / "queries.sql", "?")
        self._migrations = load_migrations(here / "schema")
        self._data_version = -1
        self._turnstile = Turnstile(self._lock_path)
        self._bell: Bell | None = None

    @property
    def location(self) -> str:
        """The path of the file."""
        return str(self._path)

    # ---- the file --------------------------------------------------------------------------

    def create(self, partition_count: int) -> None:
        """Create the file or migrate it, in one transaction."""
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise UserError(
                f"Python's SQLite is {sqlite3.sqlite_version}; the embedded task hub needs "
                f"{'.'.join(map(str, _OLDEST_SQLITE))} or newer."
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder for the task hub cannot be made: {error}. Set "
                "storageProvider.path or FUNC_PY_STATE_DIR to one that can be written."
            ) from error
        connection = self._connect("rwc")
        turnstile = Turnstile(self._lock_path)
        try:
            with turnstile:
                self._check_owner(connection)
                _use_wal(connection)
            with Transaction(connection, turnstile):
                self._migrate(connection, partition_count)
        finally:
            connection.close()
            turnstile.close()

    def _migrate(self, connection: Connection, partition_count: int) -> None:
        version = self._version(connection)
        newest = self._migrations[-1].version
        if version > newest:
            raise self._mismatch(version)
        for migration in self._migrations[version:]:
            half = len(migration.statements) // 2
            for number, statement in enumerate(migration.statements):
                if number == half:
                    reach("store.schema_half")
                connection.raw.execute(statement)
        if version == 0:
            connection.execute("insert_hub", partition_count)
            connection.execute_rows("insert_partitions", [(p,) for p in range(partition_count)])
            connection.raw.execute(f"pragma application_id = {_APPLICATION_ID}")
        connection.raw.execute(f"pragma user_version = {newest}")

    def delete(self) -> None:
        """Delete all files of the hub."""
        if self._path.exists():
            connection = self.connect_reader()
            try:
                for host_id, *_ in connection.document(host_rows, "hosts"):
                    if self.is_alive(connection, host_id):
                        raise UserError(
                            f"The task hub {self.location} is open in host {host_id}; stop it "
                            "before the hub is deleted."
                        )
            finally:
                connection.close()
        for suffix in ("", "-wal", "-shm", ".lock"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        shutil.rmtree(self._hosts, ignore_errors=True)

    def connect(self) -> Connection:
        """The writer's connection."""
        if not self._path.exists():
            raise TaskHubNotFound(self.location)
        connection = self._connect("rw")
        try:
            self._check_owner(connection)
            version = self._version(connection)
            if version != self._migrations[-1].version:
                raise self._mismatch(version)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_reader(self) -> Connection:
        """A connection for reads, each a single statement and so one consistent view."""
        connection = self._connect("rw")
        connection.raw.execute("pragma query_only = on")
        return connection

    def _connect(self, mode: str) -> Connection:
        raw = sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            # Made in one thread, used in others, one at a time.
            check_same_thread=False,
            cached_statements=512,
        )
        raw.execute("pragma synchronous = full")
        # What undoes a statement on many rows. By default it goes to a file of its own, made and
        # deleted each time: a third of what a commit of many turns costs.
        raw.execute("pragma temp_store = memory")
        return Connection(raw, self._queries)

    def _check_owner(self, connection: Connection) -> None:
        # In this order: somebody may be creating the hub between the two.
        tables = connection.raw.execute("select count(*) from sqlite_master").fetchone()[0]
        owner = _pragma(connection, "application_id")
        if owner == _APPLICATION_ID:
            return
        if owner != 0 or tables != 0:
            raise UserError(
                f"The file {self.location} is a database of another program, not a task hub. "
                "Move it away, or use another hubName."
            )

    @staticmethod
    def _version(connection: Connection) -> int:
        return _pragma(connection, "user_version")

    @property
    def _required(self) -> str:
        return f"schema version {self._migrations[-1].version}"

    def _mismatch(self, version: int) -> SchemaMismatch:
        found = f"schema version {version}" if version else "no schema"
        return SchemaMismatch(self.location, found, self._required)

    # ---- transactions ----------------------------------------------------------------------

    def transaction(self, connection: Connection, *, shared: bool) -> Transaction:
        """One write transaction, behind the queue of processes; never shared."""
        return Transaction(connection, self._turnstile)

    def others_committed(self, connection: Connection) -> bool:
        """`data_version` of a connection changes with the commits of all others."""
        before, self._data_version = self._data_version, _pragma(connection, "data_version")
        return before != self._data_version

    def stir(self, connection: Connection) -> tuple[object, object]:
        """Another commit counts as another offer, as long as there is one."""
        row = connection.row("stir")
        assert row is not None
        return row[0], self._data_version if row[1] else 0

    def translate(self, error: Exception) -> Exception:
        """Damage is the user's to repair; all else may pass."""
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                return UserError(
                    f"The task hub file {self.location} is damaged or not a database ({error}). "
                    "Restore it from a backup, move it away, or use another hubName."
                )
            if isinstance(error, self.refused):
                return InternalError(f"the task hub {self.location}: {error}")
            return StorageUnavailable(f"the task hub {self.location}: {error}")
        if isinstance(error, OSError):
            return StorageUnavailable(f"the task hub {self.location}: {error}")
        return error

    # ---- hosts -----------------------------------------------------------------------------

    @property
    def boot_id(self) -> str:
        """Linux has one; elsewhere the check is left out."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def host_row(self, host: HostRecord) -> Row:
        """See `Dialect.host_row`."""
        return host_row(host, self.boot_id)

    def enter(self, host: HostRecord) -> None:
        """Lock this host's file and hang up its bell."""
        self._hosts.mkdir(exist_ok=True)
        HELD.hold(self._hosts / host.host_id)
        with contextlib.suppress(OSError):
            self._bell = Bell(self._bell_of(host.host_id))

    def publish(self, functions: Sequence[str]) -> None:
        """Nobody takes this host for dead while it lives."""

    @property
    def is_overdue(self) -> bool:
        """Its file stays locked."""
        return False

    @property
    def bell(self) -> int | None:
        """A named pipe."""
        return None if self._bell is None else self._bell.descriptor

    def answer_bell(self) -> None:
        """Read it empty."""
        if self._bell is not None:
            self._bell.answer()

    def ring(self, connection: Connection, host_id: str) -> None:
        """Write into the other's pipe."""
        ring(self._bell_of(host_id))

    def leave(self, host_id: str) -> None:
        """Unlock the file; it goes with the host record."""
        HELD.release(self._hosts / host_id)
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        self._turnstile.close()

    def is_alive(self, connection: Connection, host_id: str) -> bool:
        """Its file is locked."""
        return HELD.is_locked(self._hosts / host_id)

    def alive_until(self, connection: Connection, host_id: str) -> datetime | None:
        """The lock of its file ends with it."""
        return None

    def forget(self, host_id: str) -> None:
        """Remove its files."""
        (self._hosts / host_id).unlink(missing_ok=True)
        self._bell_of(host_id).unlink(missing_ok=True)

    def _bell_of(self, host_id: str) -> Path:
        return self._hosts / f"{host_id}.bell"


def _use_wal(connection: Connection) -> None:
    """Switch the file to WAL, which stays so; cannot be done inside a transaction.

    SQLite does not wait for others here, it refuses at once. The lock file keeps other processes
    away, but not other hubs of this one, nor readers.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.raw.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return


def _pragma(connection: Connection, name: str) -> int:
    value = connection.raw.execute(f"pragma {name}").fetchone()[0]
    assert isinstance(value, int)
    return value

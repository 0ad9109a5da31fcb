"""One session of the driver, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import mssql_python
from mssql_python.exceptions import sqlstate_to_exception

from func_py.durable.storage.sql.mssql.connection_string import Target

_NO_DRIVER = "Failed to load the driver"
_SPEAKERS = re.compile(r"^(\[[^\]]*\])+")

_LACKS_RIGHTS = (
    "permission was denied",
    "permission denied",
    "is not able to access the database",
)

_SET_UP = """
set xact_abort off;
set implicit_transactions off;
set nocount off;
set arithabort on;
set transaction isolation level read committed;
"""
"""Whatever the server's defaults are. A statement that fails must leave its transaction alive."""


class Deadlocked(mssql_python.OperationalError):
    """The server undid the transaction, to let another one go on. It may be repeated."""


class ConnectionFailed(mssql_python.OperationalError):
    """The session is gone, or could not be made for a reason that may pass."""


class ConnectionRefused(mssql_python.OperationalError):
    """The server, or this machine, will not connect however often it is tried."""


DRIVER_ERRORS: tuple[type[Exception], ...] = (mssql_python.Error,)

REFUSED: tuple[type[Exception], ...] = (
    mssql_python.IntegrityError,
    mssql_python.DataError,
    mssql_python.ProgrammingError,
    mssql_python.NotSupportedError,
)
"""A value or row that will not be stored, however often it is tried."""


class Cursor(Protocol):
    """The part of a driver's cursor that is used."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Session(Protocol):
    """Executes statements, `?` for each parameter. Used by one thread at a time."""

    is_lost: bool
    """The server has gone away from it."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor:
        """Execute a statement; what it answers is there until the next one."""
        ...

    def close(self) -> None:
        """Undo what was not committed, and disconnect."""
        ...


class DriverSession:
    """See `Session`. Statements commit at once unless a transaction was begun by one.

    Args:
        target: Where to connect.
        lock_timeout_ms: How long a statement waits for another transaction.

    Raises:
        mssql_python.Error: ConnectionRefused or ConnectionFailed.
    """

    def __init__(self, target: Target, lock_timeout_ms: int) -> None:
        self.is_lost = False
        try:
            self._raw = mssql_python.connect(
                target.text, autocommit=True, timeout=target.connect_timeout_s
            )
        except mssql_python.Error as error:
            raise _connecting(error) from error
        except (mssql_python.ConnectionStringParseError, ValueError) as error:
            raise ConnectionRefused(str(error), "") from error
        # One statement handle: two of one session would meet each other's unread answers.
        self._cursor = self._raw.cursor()
        self.execute(f"{_SET_UP} set lock_timeout {lock_timeout_ms}")

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor:
        """See `Session.execute`."""
        try:
            cursor: Cursor = (
                self._cursor.execute(sql, list(parameters))
                if parameters
                else self._cursor.execute(sql)
            )
        except mssql_python.Error as error:
            if is_deadlock(error):
                raise Deadlocked(error.driver_error, _server_text(error)) from error
            if not isinstance(error, REFUSED):
                self._probe(error)
            raise
        except RuntimeError as error:
            # What the native part says of a handle that is gone.
            self.is_lost = True
            raise ConnectionFailed("The connection was lost", str(error)) from error
        return cursor

    def _probe(self, error: mssql_python.Error) -> None:
        """Does the server still answer? The driver has no word for it."""
        try:
            self._cursor.execute("select 1").fetchall()
        except (mssql_python.Error, RuntimeError):
            self.is_lost = True
            raise ConnectionFailed(error.driver_error, _server_text(error)) from error

    def close(self) -> None:
        """See `Session.close`."""
        # The driver keeps connections for others: it would keep a transaction, too.
        if not self.is_lost:
            try:
                self._cursor.execute("if @@trancount > 0 rollback transaction")
            except (mssql_python.Error, RuntimeError):
                self.is_lost = True
        try:
            self._raw.close()
        except (mssql_python.Error, RuntimeError):
            self.is_lost = True


def is_deadlock(error: mssql_python.Error) -> bool:
    """The server chose this transaction as the victim (error 1205)."""
    return bool(error.driver_error == _word_of("40001"))


def lacks_rights(error: mssql_python.Error) -> bool:
    """The user may not do that. The driver passes the server's text on, but not its number."""
    text = error.ddbc_error.lower()
    return any(words in text for words in _LACKS_RIGHTS)


def _connecting(error: mssql_python.Error) -> mssql_python.OperationalError:
    """What went wrong while connecting, sorted by whether it may pass."""
    kind: type[mssql_python.OperationalError] = ConnectionFailed
    refuses = isinstance(error, REFUSED) or error.driver_error == _word_of("28000")
    if refuses or _NO_DRIVER in error.ddbc_error:
        kind = ConnectionRefused
    return kind(error.driver_error, _server_text(error))


def _server_text(error: mssql_python.Error) -> str:
    """What was said, without by whom: the driver fails to take its own text again."""
    return _SPEAKERS.sub("", str(error.ddbc_error))


def _word_of(sqlstate: str) -> str:
    """How the driver calls this state; errors do not carry the state itself."""
    known = sqlstate_to_exception(sqlstate, "")
    return "" if known is None else str(known.driver_error)

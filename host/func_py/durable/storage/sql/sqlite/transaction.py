"""A write transaction on the file: begun, committed or undone, in the order of the processes."""

from __future__ import annotations

import contextlib
import sqlite3
from types import TracebackType

from func_py.durable.faults import reach
from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.sqlite.turnstile import Turnstile


class Transaction:
    """Undone when the body raises. Not a generator: one is made for each commit of the hub."""

    __slots__ = ("_raw", "_turnstile")

    def __init__(self, connection: Connection, turnstile: Turnstile) -> None:
        self._raw = connection.raw
        self._turnstile = turnstile

    def __enter__(self) -> None:
        self._turnstile.enter()
        try:
            # Immediate: one that first reads may find its view outdated when it writes.
            self._raw.execute("begin immediate")
        except BaseException:
            self._turnstile.leave()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._undo()
                return
            try:
                reach("store.before_commit")
                self._raw.execute("commit")
            except BaseException:
                self._undo()
                raise
        finally:
            self._turnstile.leave()
        reach("store.after_commit")

    def _undo(self) -> None:
        # SQLite has undone it already after some errors (disk full).
        with contextlib.suppress(sqlite3.OperationalError):
            self._raw.execute("rollback")

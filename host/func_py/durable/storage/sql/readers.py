"""Reading connections, each used by one thread at a time, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from func_py.durable.storage.sql.connection import Connection, Dialect
from func_py.errors import StorageUnavailable

T = TypeVar("T")

_READERS = 4


class Readers:
    """A few threads with a connection for each, made when first needed."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="func-py storage reader")
        self._idle: deque[Connection] = deque()
        self._closed = False

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Call a function with a connection; it decodes what it read in its thread as well.

        Raises:
            StorageUnavailable: The store did not answer, or this is closed.
        """
        if self._closed:
            raise StorageUnavailable(f"the task hub {self._dialect.location} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, function)

    def _call(self, function: Callable[[Connection], T]) -> T:
        try:
            with contextlib.suppress(IndexError):
                while True:
                    idle = self._idle.pop()
                    try:
                        return self._call_with(idle, function)
                    except self._dialect.errors:
                        # It may have been lost long ago, and the database be there again.
                        if not idle.is_lost:
                            raise
            return self._call_with(self._dialect.connect_reader(), function)
        except self._dialect.errors as error:
            raise self._dialect.translate(error) from error

    def _call_with(self, connection: Connection, function: Callable[[Connection], T]) -> T:
        try:
            return function(connection)
        finally:
            if connection.is_lost:
                connection.close()
            else:
                self._idle.append(connection)

    async def close(self) -> None:
        """Let reads that are under way end, then close the connections. Idempotent."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

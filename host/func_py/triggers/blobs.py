"""Looks through a container for blobs that functions were not told of, and tells them.

A container is listed from end to end, since storage lists by name. So that a second look costs no
more than the list, blobs older than the newest of an earlier look are passed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import ContainerClient

from func_py.clock import Clock
from func_py.errors import StorageError
from func_py.storage.answers import Answers
from func_py.storage.receipts import Receipts
from func_py.triggers.polling import Pauses
from func_py_bindings.blob import BlobPattern

logger = logging.getLogger(__name__)

_MARGIN = timedelta(minutes=1)
"""Storage is many machines, whose clocks may differ."""

_LONGEST_OUTAGE = timedelta(seconds=10)
_AT_ONCE = 16
"""Blobs that functions are told of at the same time."""

Tell = Callable[["WatchedFunction", str, str], Awaitable[None]]
"""Sends the message that a function is to run for the blob of this name and ETag."""


@dataclass(frozen=True, slots=True, eq=False)
class WatchedFunction:
    """A blob function: its id in storage, and which blobs it wants."""

    id: str
    pattern: BlobPattern


class BlobScanner:
    """Watches one container for the functions that it triggers.

    Args:
        container: The container; it need not exist.
        answers: How its service answers.
        functions: Who is told.
        receipts: Who was told already.
        tell: Tells them.
        interval: Between two looks.
        clock: The time.
    """

    def __init__(
        self,
        container: ContainerClient,
        answers: Answers,
        functions: Sequence[WatchedFunction],
        receipts: Receipts,
        tell: Tell,
        interval: timedelta,
        clock: Clock,
    ) -> None:
        self._container = container
        self._answers = answers
        self._functions = functions
        self._receipts = receipts
        self._tell = tell
        self._pauses = Pauses(clock, interval, interval)
        self._outage = Pauses(clock, timedelta(milliseconds=100), _LONGEST_OUTAGE)
        self._known: dict[str, set[str]] | None = None
        """What functions were told of before the first look; None: not asked for yet."""
        self._told: dict[tuple[str, str], datetime] = {}
        self._newest: datetime | None = None
        self._since: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    @property
    def place(self) -> str:
        """What to watch for writes of this process."""
        return str(self._container.url).partition("?")[0]

    def wake(self) -> None:
        """Look now."""
        self._pauses.wake()

    def start(self) -> None:
        """Begin; returns at once."""
        name = f"container {self._container.container_name}"
        self._task = asyncio.create_task(self._run(), name=name)

    async def stop(self, grace_s: float) -> None:
        """Look no more. A blob that is being told of may take so long."""
        self._is_stopping = True
        self._pauses.wake()
        self._outage.wake()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=grace_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                await self._look()
                self._outage.reset()
                if not self._is_stopping:
                    await self._pauses.pause()
            except StorageError as exc:
                self._answers.tell(exc)
                await self._outage.pause()
            except Exception:
                # A mistake of ours must not end a trigger for good.
                logger.exception("The trigger of blobs in '%s' failed.", self.place)
                await self._outage.pause()

    async def _look(self) -> None:
        if self._known is None:
            self._known = {f.id: await self._receipts.told(f.id) for f in self._functions}
        since, newest = self._since, self._newest
        news: list[tuple[WatchedFunction, str, str, datetime]] = []
        with self._answers.translated():
            try:
                async for blob in self._container.list_blobs():
                    if since is not None and blob.last_modified < since:
                        continue
                    newest = max(newest or blob.last_modified, blob.last_modified)
                    news += self._news_of(blob)
            except ResourceNotFoundError:
                return
        are_told = True
        for start in range(0, len(news), _AT_ONCE):
            if self._is_stopping:
                return
            batch = news[start : start + _AT_ONCE]
            results = await asyncio.gather(*(self._tell_of(*each) for each in batch))
            are_told = are_told and all(results)
        if are_told:
            self._forget()
            # Not the newest of this look: what was written behind its back may be older than that.
            self._since = None if self._newest is None else self._newest - _MARGIN
            self._newest = newest
            self._known = {}

    def _news_of(self, blob: Any) -> list[tuple[WatchedFunction, str, str, datetime]]:
        etag = str(blob.etag).strip('"')
        found = []
        for function in self._functions:
            if function.pattern.match(blob.name) is None or self._is_told(function, blob, etag):
                continue
            found.append((function, str(blob.name), etag, blob.last_modified))
        return found

    def _is_told(self, function: WatchedFunction, blob: Any, etag: str) -> bool:
        key = self._key(blob.name, etag)
        if self._known and key in self._known.get(function.id, ()):
            self._told[function.id, key] = blob.last_modified
        return (function.id, key) in self._told

    async def _tell_of(
        self, function: WatchedFunction, name: str, etag: str, modified: datetime
    ) -> bool:
        key = self._key(name, etag)
        is_done = await self._receipts.tell_once(
            function.id, key, lambda: self._tell(function, name, etag)
        )
        if is_done:
            self._told[function.id, key] = modified
        return is_done

    def _forget(self) -> None:
        since = self._since
        if since is not None:
            self._told = {key: time for key, time in self._told.items() if time >= since}

    def _key(self, name: str, etag: str) -> str:
        return f'"{etag}"/{self._container.container_name}/{name}'

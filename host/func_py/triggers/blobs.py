"""Looks through a container for blobs that functions were not told of, and tells them.

A container is listed from end to end, since storage lists by name. So that a second look costs no
more than the list, blobs older than the newest of an earlier look are passed over. How old is kept
in storage, so that the first look of the next host costs no more either.
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
from func_py.storage.scan_info import ScanInfo
from func_py.triggers.polling import Pauses
from func_py_bindings.blob import BlobPattern

logger = logging.getLogger(__name__)

_MARGIN = timedelta(minutes=1)
"""Storage is many machines, whose clocks may differ."""

_LONGEST_OUTAGE = timedelta(seconds=10)
_AT_ONCE = 16
"""Blobs that functions are told of at the same time."""

_FEW = 100
"""News of a first look for which receipts are asked for one by one."""

_News = tuple["WatchedFunction", str, str, datetime]
"""Function, name and ETag of a blob, and when it was written."""

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
        looked: What was looked through already.
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
        looked: ScanInfo,
        tell: Tell,
        interval: timedelta,
        clock: Clock,
    ) -> None:
        self._container = container
        self._answers = answers
        self._functions = functions
        self._receipts = receipts
        self._looked = looked
        self._tell = tell
        self._pauses = Pauses(clock, interval, interval)
        self._outage = Pauses(clock, timedelta(milliseconds=100), _LONGEST_OUTAGE)
        self._is_recalled = False
        self._is_first_look = True
        self._new: Sequence[WatchedFunction] = functions
        """Those that are told of old blobs as well."""
        self._stored: datetime | None = None
        """What `looked` says."""
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
        if not self._is_recalled:
            await self._recall()
        newest = self._newest
        news: list[_News] = []
        with self._answers.translated():
            try:
                async for blob in self._container.list_blobs():
                    newest = max(newest or blob.last_modified, blob.last_modified)
                    news += self._news_of(blob)
            except ResourceNotFoundError:
                return
        if self._is_first_look:
            news = await self._without_known(news)
        are_told = True
        for start in range(0, len(news), _AT_ONCE):
            if self._is_stopping:
                return
            batch = news[start : start + _AT_ONCE]
            results = await asyncio.gather(*(self._tell_of(*each) for each in batch))
            are_told = are_told and all(results)
        if are_told:
            # Not the newest of this look: what was written behind its back may be older than that.
            if self._newest is not None:
                since = self._newest - _MARGIN
                self._since = max(self._since or since, since)
            self._newest = newest
            self._forget()
            self._is_first_look = False
            self._new = ()
            await self._note()

    async def _recall(self) -> None:
        """Begin where an earlier host ended; functions that it did not have begin at the start."""
        found = await self._looked.read()
        self._is_recalled = True
        if found is not None:
            self._since = found.until
            if found.functions is None:
                self._new = ()
            else:
                self._new = [f for f in self._functions if f.id not in found.functions]
            self._stored = found.until if not self._new else None

    async def _note(self) -> None:
        """Tell the next host how far this one is."""
        if self._since is not None and self._since != self._stored:
            await self._looked.write(self._since, [function.id for function in self._functions])
            self._stored = self._since

    def _news_of(self, blob: Any) -> list[_News]:
        etag = str(blob.etag).strip('"')
        is_old = self._since is not None and blob.last_modified < self._since
        return [
            (function, str(blob.name), etag, blob.last_modified)
            for function in (self._new if is_old else self._functions)
            if function.pattern.match(blob.name) is not None
            and (function.id, self._key(blob.name, etag)) not in self._told
        ]

    async def _without_known(self, news: list[_News]) -> list[_News]:
        """Only what has no receipt; they are listed, since there may be many."""
        if len(news) <= _FEW:
            return news
        known = {name: await self._receipts.told(name) for name in {each[0].id for each in news}}
        left = []
        for each in news:
            function, name, etag, modified = each
            key = self._key(name, etag)
            if key in known[function.id]:
                self._told[function.id, key] = modified
            else:
                left.append(each)
        return left

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

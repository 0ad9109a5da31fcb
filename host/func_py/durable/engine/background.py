"""Work that goes on by itself, until it ends or its owner does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any


class Background:
    """What was begun and has not ended."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """`failed` is told of exceptions, but of no cancellation."""
        self._failed = failed
        self._work: set[asyncio.Future[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._work)

    def spawn(self, work: Awaitable[object]) -> None:
        """Run something."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def add(self, work: asyncio.Future[Any]) -> None:
        """Note something that runs already; whoever added it looks at how it ends, and says so."""
        self._work.add(work)

    def ended(self, work: asyncio.Future[Any]) -> None:
        """What was added has ended, and what follows from that was done."""
        self._work.discard(work)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait until nothing runs, or for so many seconds; what runs goes on then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._work:
                    await asyncio.wait(self._work)

    async def cancel(self) -> None:
        """Cancel everything, and wait for that."""
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _ended(self, task: asyncio.Future[object]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

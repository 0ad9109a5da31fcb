"""`functionTimeout`: cancels invocations that take too long, with one timer for all of them.

A timer for each would cost every short call more than the rest of the bookkeeping around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any

from func_py.config.timespan import format_timespan
from func_py.errors import FunctionTimeout


class TimeLimit:
    """The longest time that an invocation may take. Used from one loop.

    Args:
        limit: None for no limit.
        tell: Called with the function's name and a text when an invocation is cancelled.
    """

    def __init__(self, limit: timedelta | None, tell: Callable[[str, str], None]) -> None:
        self.shown = format_timespan(limit) if limit is not None else ""
        self._seconds = limit.total_seconds() if limit is not None else None
        self._tell = tell
        # In order of their deadlines, as all have the same limit.
        self._watches: dict[Watch, None] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def watch(
        self, task: asyncio.Task[Any], function: str, invocation_id: str, *, runs_on: bool
    ) -> Watch:
        """A context in which a task is cancelled when its time is over.

        Args:
            task: The current one.
            function: Its name.
            invocation_id: For the log.
            runs_on: The code is in a thread, which nothing can stop.

        Raises:
            FunctionTimeout: When the context is left: it was cancelled, also when its code went on
                and returned all the same. An exception of the code itself stays what it is.
        """
        return Watch(self, task, function, invocation_id, runs_on)

    def close(self) -> None:
        """Cancel nothing any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def begin(self, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        """Called by `Watch`."""
        if self._seconds is None:
            return
        watch.deadline = loop.time() + self._seconds
        self._watches[watch] = None
        if self._alarm is None:
            self._alarm = loop.call_at(watch.deadline, self._ring, loop)

    def end(self, watch: Watch) -> None:
        """Called by `Watch`."""
        self._watches.pop(watch, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        now = loop.time()
        while self._watches:
            watch = next(iter(self._watches))
            if watch.deadline > now:
                # It began after the alarm was set, for one that has ended since.
                self._alarm = loop.call_at(watch.deadline, self._ring, loop)
                return
            del self._watches[watch]
            self._tell(
                watch.function,
                f"Timeout value of {self.shown} exceeded by function 'Functions.{watch.function}' "
                f"(Id: '{watch.invocation_id}'). Initiating cancellation.",
            )
            watch.expire()


class Watch:
    """See `TimeLimit.watch`."""

    __slots__ = (
        "_cancelling",
        "_limit",
        "_runs_on",
        "_task",
        "deadline",
        "function",
        "invocation_id",
        "is_expired",
    )

    def __init__(
        self,
        limit: TimeLimit,
        task: asyncio.Task[Any],
        function: str,
        invocation_id: str,
        runs_on: bool,
    ) -> None:
        self._limit = limit
        self._runs_on = runs_on
        self._task = task
        self._cancelling = 0
        self.function = function
        self.invocation_id = invocation_id
        self.deadline = 0.0
        self.is_expired = False

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()
        self._limit.begin(self, self._task.get_loop())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limit.end(self)
        if not self.is_expired:
            return
        others = self._task.uncancel() > self._cancelling
        if kind is None or (issubclass(kind, asyncio.CancelledError) and not others):
            raise FunctionTimeout(
                self.function, self._limit.shown, runs_on=self._runs_on and kind is not None
            ) from error

    def expire(self) -> None:
        """Cancel the task."""
        self.is_expired = True
        self._task.cancel()

"""The clock that everything reads: real time, or a virtual one that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

MAX_WAIT_S = 30.0
"""Longest single wait on the loop's clock: it stands still while a machine sleeps."""


class Timer(Protocol):
    """A pending call; `cancel` is idempotent."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Source of the time and of delayed calls."""

    def now(self) -> datetime:
        """The current time: aware, UTC, microseconds."""
        ...

    def call_at(self, when: datetime, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the loop at `when` or shortly after; at once when it has passed."""
        ...


async def wait_until(clock: Clock, when: datetime) -> None:
    """Wait until a moment has come; returns at once when it has passed."""
    if when <= clock.now():
        return
    reached = asyncio.Event()
    timer = clock.call_at(when, reached.set)
    try:
        await reached.wait()
    finally:
        timer.cancel()


class _Later:
    """A timer that re-reads the wall clock, so that a laptop's sleep does not delay it."""

    __slots__ = ("_callback", "_clock", "_handle", "_when")

    def __init__(self, clock: RealClock, when: datetime, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._handle: asyncio.Handle | None = None
        self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        left = (self._when - self._clock.now()).total_seconds()
        if left <= 0:
            self._handle = loop.call_soon(self._callback)
        else:
            # +1 ms: the loop may wake a hair early, which would cost a second round.
            self._handle = loop.call_later(min(left + 0.001, MAX_WAIT_S), self._check)

    def _check(self) -> None:
        if self._clock.now() >= self._when:
            self._callback()
        else:
            self._arm()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class RealClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.fromtimestamp(time.time(), UTC)

    def call_at(self, when: datetime, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`."""
        return _Later(self, when, callback)


class _Due:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """A clock for tests: stands still until `advance` is called."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._due: list[tuple[datetime, int, _Due]] = []
        self._count = itertools.count()

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._now

    def call_at(self, when: datetime, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`."""
        due = _Due(callback)
        if when <= self._now:
            asyncio.get_running_loop().call_soon(lambda: None if due.cancelled else callback())
        else:
            heapq.heappush(self._due, (when, next(self._count), due))
        return due

    def advance(self, by: timedelta) -> None:
        """Move the time forward and make every call that has become due, in order of due time."""
        target = self._now + by
        while self._due and self._due[0][0] <= target:
            when, _, due = heapq.heappop(self._due)
            self._now = max(self._now, when)
            if not due.cancelled:
                due.callback()
        self._now = target

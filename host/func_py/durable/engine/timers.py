"""The timers of one partition that become due in the next minutes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from func_py.clock import Clock, Timer
from func_py.durable.model import TimerTask
from func_py.durable.storage.base import Lease, TaskHub
from func_py.errors import StorageUnavailable

_Key = tuple[str, str, int]


def _key(timer: TimerTask) -> _Key:
    return (timer.instance_id, timer.execution_id, timer.task_id)


class TimerHeap:
    """Calls `fire` for each timer when it is due, once; cancelled ones are skipped."""

    def __init__(self, clock: Clock, fire: Callable[[TimerTask], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[datetime, _Key]] = []
        self._live: dict[_Key, TimerTask] = {}
        self._alarm: Timer | None = None
        self._alarm_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._live)

    def add(self, timers: Iterable[TimerTask]) -> None:
        """Hold these timers; one that is held already is ignored."""
        for timer in timers:
            key = _key(timer)
            if key not in self._live:
                self._live[key] = timer
                heapq.heappush(self._heap, (timer.fire_at, key))
        self._arm()

    def cancel(self, instance_id: str, execution_id: str, task_ids: Iterable[int]) -> None:
        """Forget timers that a committed turn ended."""
        for task_id in task_ids:
            self._live.pop((instance_id, execution_id, task_id), None)

    def close(self) -> None:
        """Fire nothing more."""
        self._heap.clear()
        self._live.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _arm(self) -> None:
        while self._heap and self._heap[0][1] not in self._live:
            heapq.heappop(self._heap)
        due = self._heap[0][0] if self._heap else None
        if due == self._alarm_at and self._alarm is not None:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = due
        if due is not None:
            self._alarm = self._clock.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._alarm_at = None
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            _, key = heapq.heappop(self._heap)
            timer = self._live.pop(key, None)
            if timer is not None:
                self._fire(timer)
        self._arm()


class NextTimers:
    """The timers of a partition up to a horizon; those behind it stay in the store."""

    def __init__(
        self,
        hub: TaskHub,
        lease: Lease,
        clock: Clock,
        span: timedelta,
        fire: Callable[[TimerTask], None],
    ) -> None:
        """`span`: how far ahead the horizon is at most; `fire` is called for each that is due."""
        self._hub = hub
        self._lease = lease
        self._clock = clock
        self._span = span
        self._heap = TimerHeap(clock, fire)
        self._horizon = clock.now()
        self._closed = False

    @property
    def next_horizon(self) -> datetime:
        """How far one may look ahead now."""
        return self._clock.now() + self._span

    def recovered(self, timers: Iterable[TimerTask], until: datetime) -> None:
        """Hold what is stored up to this horizon."""
        self._horizon = until
        self._heap.add(timers)

    def add(self, timers: Iterable[TimerTask]) -> None:
        """Hold what has just been stored, as far as the horizon."""
        self._heap.add(timer for timer in timers if timer.fire_at < self._horizon)

    def cancel(self, instance_id: str, execution_id: str, task_ids: Iterable[int]) -> None:
        """Forget timers that a committed turn ended."""
        self._heap.cancel(instance_id, execution_id, task_ids)

    async def extend(self) -> None:
        """Load the timers of the next minutes; called well before the last horizon is reached."""
        until, after = self.next_horizon, self._horizon
        if until - after < self._span / 4:
            return
        # Before the answer: turns that are committed meanwhile add their own.
        self._horizon = until
        try:
            timers = await self._hub.timers(self._lease, after, until)
        except StorageUnavailable:
            self._horizon = after
            raise
        if not self._closed:
            self._heap.add(timers)

    def close(self) -> None:
        """Fire nothing more."""
        self._closed = True
        self._heap.close()

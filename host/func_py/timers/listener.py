"""Fires timer functions on their schedules, each once however many hosts there are.

A function's timer belongs to the host that holds its record in the task hub. The others try to get
it now and then, and go on where it was when its host has gone. The record holds the status of the
schedule, so that a firing which nobody made is made up for: once, however many were missed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from func_py.clock import Clock, wait_until
from func_py.errors import StorageUnavailable
from func_py.timers.schedule import parse_schedule
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.timer import ScheduleStatus, TimerFiring, status_json

logger = logging.getLogger(__name__)

HOLD_INTERVAL = timedelta(seconds=5)
"""Between two tries to get a timer that another host has, and after the store did not answer."""

_SHOWN = 5
"""Coming times that the log names."""

Fire = Callable[[FunctionSpec, TimerFiring, str], Awaitable[object]]
"""Invokes a function, with its retries; the text is the reason for the log. Its failure is told by
the log, not raised."""


class Record(Protocol):
    """A stored value and the version it has, at least 1."""

    @property
    def value(self) -> str: ...

    @property
    def version(self) -> int: ...


class Records(Protocol):
    """Named records of a task hub (its storage contract, 22 and 23).

    All may raise StorageUnavailable.
    """

    async def read_record(self, key: str) -> Record | None:
        """The record, or None where there is none."""
        ...

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """Store a value where the record has this version; 0: where there is none.

        False: it has another, or another host holds it.
        """
        ...

    async def hold_record(self, key: str) -> bool:
        """Take a record for this host, or keep it. False: another live host has it."""
        ...

    async def release_record(self, key: str) -> None:
        """Give a record up; nothing happens when it is not ours."""
        ...


class TimerListener:
    """Runs the timers of all functions that have one.

    Args:
        functions: All functions of the host, disabled ones left out.
        fire: Makes the invocations.
        records: Where the status of schedules is kept and timers are held.
        clock: The time.
        zone: The zone of the schedules.
    """

    def __init__(
        self,
        functions: Iterable[FunctionSpec],
        fire: Fire,
        records: Records,
        clock: Clock,
        zone: tzinfo,
    ) -> None:
        self._timers = [
            _Timer(spec, fire, records, clock, zone)
            for spec in functions
            if has_timer(spec) and not spec.problem
        ]
        self._tasks: dict[asyncio.Task[None], _Timer] = {}

    def start(self) -> None:
        """Begin; returns at once."""
        for timer in self._timers:
            name = f"timer {timer.spec.name}"
            self._tasks[asyncio.create_task(timer.run(), name=name)] = timer

    async def hand_over(self) -> None:
        """Fire no more and give the timers away; one whose function runs, when that has ended."""
        for task, timer in self._tasks.items():
            timer.is_stopping = True
            if not timer.is_firing:
                task.cancel()
        idle = [task for task, timer in self._tasks.items() if not timer.is_firing]
        await asyncio.gather(*idle, return_exceptions=True)

    async def stop(self, grace: float) -> None:
        """The same, but wait: running functions get so many seconds to finish."""
        await self.hand_over()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


def has_timer(spec: FunctionSpec) -> bool:
    """Whether a function is fired by a timer."""
    return spec.trigger.type.lower() == "timertrigger"


def _is_on(spec: FunctionSpec, name: str, default: bool) -> bool:
    value = spec.trigger.get(name)
    return default if value is None else str(value).lower() == "true"


class _Timer:
    """The timer of one function."""

    def __init__(
        self, spec: FunctionSpec, fire: Fire, records: Records, clock: Clock, zone: tzinfo
    ) -> None:
        self.spec = spec
        self.is_firing = False
        self.is_stopping = False
        self._fire_function = fire
        self._records = records
        self._clock = clock
        self._zone = zone
        self._key = f"timer/{spec.name.lower()}"
        self._text = str(spec.trigger.get("schedule"))
        self._schedule = parse_schedule(self._text, zone)
        self._is_monitored = _is_on(spec, "useMonitor", True) and not self._schedule.is_frequent
        self._on_startup = _is_on(spec, "runOnStartup", False)
        self._is_held = False
        self._stored = ""
        self._status: ScheduleStatus | None = None

    async def run(self) -> None:
        """Fire whenever it is time and the timer is ours, until cancelled or stopping."""
        try:
            await self._fire_in_time()
        finally:
            await self._release()

    async def _fire_in_time(self) -> None:
        while not self.is_stopping:
            await self._wait_for_hold()
            self._announce()
            try:
                due = await self._begin()
                while not self.is_stopping:
                    await wait_until(self._clock, due)
                    if not await self._records.hold_record(self._key):
                        logger.warning("The timer of '%s' went to another host.", self.spec.name)
                        break
                    due = await self._fire(due)
            except StorageUnavailable as exc:
                logger.warning("The timer of '%s' waits: %s", self.spec.name, exc)
                await wait_until(self._clock, self._clock.now() + HOLD_INTERVAL)
            except Exception:
                # A mistake of ours must not end a schedule for good.
                logger.exception("The timer of '%s' failed.", self.spec.name)
                await wait_until(self._clock, self._clock.now() + HOLD_INTERVAL)

    async def _release(self) -> None:
        """Give the timer to whoever wants it."""
        if self._is_held:
            self._is_held = False
            try:
                await self._records.release_record(self._key)
            except StorageUnavailable as exc:
                # It is free when this host is gone.
                logger.info("The timer of '%s' was not released: %s", self.spec.name, exc)

    async def _wait_for_hold(self) -> None:
        self._is_held = False
        while True:
            try:
                self._is_held = await self._records.hold_record(self._key)
            except StorageUnavailable as exc:
                logger.warning("The timer of '%s' waits: %s", self.spec.name, exc)
            if self._is_held:
                return
            await wait_until(self._clock, self._clock.now() + HOLD_INTERVAL)

    async def _begin(self) -> datetime:
        """What is to be done before the first regular firing; when that is due."""
        now = self._now()
        due = self._schedule.next_after(now)
        is_past_due = False
        if self._is_monitored:
            stored = await self._load()
            if stored is None:
                await self._save(ScheduleStatus(last=None, next=due, last_updated=now))
            elif self._was_changed(stored):
                await self._save(ScheduleStatus(last=stored.last, next=due, last_updated=now))
            else:
                self._status = stored
                due = stored.next
                is_past_due = now > due
        if is_past_due:
            self._tell_unscheduled("IsPastDue", due)
            due = await self._fire(now, is_past_due=True)
        elif self._on_startup:
            self._tell_unscheduled("RunOnStartup", due)
            due = await self._fire(now)
        self._on_startup = False
        return due

    def _was_changed(self, stored: ScheduleStatus) -> bool:
        """Whether the stored next time is not one that the schedule of today would have given."""
        since = (stored.last, stored.last_updated)
        return stored.next not in [self._schedule.next_after(time) for time in since if time]

    async def _fire(self, scheduled: datetime, *, is_past_due: bool = False) -> datetime:
        """Invoke the function, note it, and say when the next time is."""
        started = self._now()
        self.is_firing = True
        try:
            await self._fire_function(
                self.spec,
                TimerFiring(is_past_due=is_past_due, status=self._status),
                f"Timer fired at {started.isoformat()}",
            )
        finally:
            self.is_firing = False
        # From the scheduled time, should the clock be early: or it would come twice. From the
        # start, should it be late: what came by meanwhile is made up for once.
        since = max(scheduled, started)
        due = self._schedule.next_after(since)
        if self._is_monitored:
            await self._save(ScheduleStatus(last=since, next=due, last_updated=self._now()))
        return due

    async def _load(self) -> ScheduleStatus | None:
        record = await self._records.read_record(self._key)
        text = "" if record is None else record.value
        if self._status is not None and text == self._stored:
            # Nobody else had the timer. Ours is newer where the store did not answer.
            return self._status
        self._stored = text
        try:
            stored = json.loads(text) if text else None
            return None if stored is None else self._read(stored)
        except (ValueError, KeyError, TypeError) as exc:
            logger.warning("The stored status of '%s' is unusable: %s", self.spec.name, exc)
            return None

    async def _save(self, status: ScheduleStatus) -> None:
        self._status = status
        text = json.dumps(status_json(status))
        try:
            record = await self._records.read_record(self._key)
            version = 0 if record is None else record.version
            # Only its holder writes it. Otherwise the hold was lost, as will be seen next.
            if await self._records.write_record(self._key, text, version):
                self._stored = text
        except StorageUnavailable as exc:
            # The function has run. The next status is stored in this one's place.
            logger.warning("The status of '%s' was not stored: %s", self.spec.name, exc)

    def _read(self, stored: dict[str, str]) -> ScheduleStatus:
        return ScheduleStatus(
            last=self._time(stored["Last"]),
            next=datetime.fromisoformat(stored["Next"]).astimezone(self._zone),
            last_updated=self._time(stored["LastUpdated"]),
        )

    def _now(self) -> datetime:
        return self._clock.now().astimezone(self._zone)

    def _time(self, text: str) -> datetime | None:
        moment = datetime.fromisoformat(text)
        return None if moment.year == 1 else moment.astimezone(self._zone)

    def _announce(self) -> None:
        lines = []
        moment = self._clock.now()
        for _ in range(_SHOWN):
            moment = self._schedule.next_after(moment)
            utc = moment.astimezone(UTC)
            lines.append(f"{moment:%Y-%m-%d %H:%M:%S%z} ({utc:%Y-%m-%d %H:%M:%SZ})")
        logger.info(
            "The next %d occurrences of the '%s' schedule (%s) will be:\n%s",
            _SHOWN,
            self.spec.name,
            self._text,
            "\n".join(lines),
        )

    def _tell_unscheduled(self, reason: str, due: datetime) -> None:
        logger.info(
            "Trigger Details: UnscheduledInvocationReason: %s, OriginalSchedule: %s",
            reason,
            due.isoformat(),
        )

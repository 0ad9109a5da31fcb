# mypy: disable-error-code="untyped-decorator"
"""Timers on a clock that is moved by hand: when functions fire, and on which host."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
import pytest
from support.apps import functions
from support.records import MemoryRecords, RecordStore

from func_py.clock import VirtualClock
from func_py.timers.listener import HOLD_INTERVAL, TimerListener
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.timer import TimerFiring, timer_argument

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERY_MINUTE = "0 * * * * *"


def timer(schedule: str = EVERY_MINUTE, **options: Any) -> FunctionSpec:
    """A timer function."""
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="t", schedule=schedule, **options)
    def tick(t: func.TimerRequest) -> None: ...

    return functions(app)["tick"]


class Host:
    """A host that runs one timer. `fired`: times, and whether each was past due."""

    def __init__(self, world: World, spec: FunctionSpec, blocks: bool) -> None:
        self.records = MemoryRecords(world.store)
        self.fired: list[tuple[str, bool]] = []
        self.firings: list[TimerFiring] = []
        self.reasons: list[str] = []
        self.go = asyncio.Event()
        if not blocks:
            self.go.set()
        self._clock = world.clock
        self.listener = TimerListener([spec], self._fire, self.records, world.clock, UTC)

    async def _fire(self, spec: FunctionSpec, firing: TimerFiring, reason: str) -> None:
        self.fired.append((self._clock.now().strftime("%H:%M:%S"), firing.is_past_due))
        self.firings.append(firing)
        self.reasons.append(reason)
        await self.go.wait()

    @property
    def times(self) -> list[str]:
        return [time for time, _ in self.fired]


class World:
    """A clock at noon, a store, and hosts."""

    def __init__(self) -> None:
        self.clock = VirtualClock(NOON)
        self.store = RecordStore()
        self.hosts: list[Host] = []

    async def start(self, spec: FunctionSpec | None = None, *, blocks: bool = False) -> Host:
        host = Host(self, spec or timer(), blocks)
        self.hosts.append(host)
        host.listener.start()
        await settle()
        return host

    async def pass_time(self, **span: float) -> None:
        """Let time pass, second by second."""
        for _ in range(int(timedelta(**span).total_seconds())):
            self.clock.advance(timedelta(seconds=1))
            await settle()

    def jump(self, **span: float) -> None:
        """Let time pass while no host runs."""
        self.clock.advance(timedelta(**span))

    def status(self) -> dict[str, str]:
        """What is stored of the one timer, times in short."""
        stored = json.loads(self.store.records["timer/tick"].value)
        return {key: text.partition("T")[2].partition("+")[0] for key, text in stored.items()}


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for host in world.hosts:
        host.go.set()
        await host.listener.stop(0)


async def test_timer_fires_at_each_time_of_its_schedule(world: World) -> None:
    host = await world.start()
    assert host.fired == []
    await world.pass_time(minutes=2, seconds=30)
    assert host.fired == [("12:01:00", False), ("12:02:00", False)]
    assert host.reasons[0] == "Timer fired at 2026-01-31T12:01:00+00:00"


async def test_interval_begins_with_the_host(world: World) -> None:
    world.jump(seconds=10)
    host = await world.start(timer("00:00:45"))
    await world.pass_time(minutes=2)
    assert host.times == ["12:00:55", "12:01:40"]


async def test_argument_tells_of_the_schedule(world: World) -> None:
    spec = timer()
    host = await world.start(spec)
    await world.pass_time(minutes=2)
    request = timer_argument(spec)(host.firings[1])
    assert isinstance(request, func.TimerRequest)
    assert request.past_due is False
    assert request.schedule == {"AdjustForDST": True}
    assert request.schedule_status == {
        "Last": "2026-01-31T12:01:00+00:00",
        "Next": "2026-01-31T12:02:00+00:00",
        "LastUpdated": "2026-01-31T12:01:00+00:00",
    }


async def test_function_that_takes_long_is_not_overlapped_and_made_up_for_once(
    world: World,
) -> None:
    host = await world.start(blocks=True)
    await world.pass_time(minutes=4, seconds=10)
    assert host.times == ["12:01:00"]
    host.go.set()
    await settle()
    assert host.times == ["12:01:00", "12:04:10"]
    await world.pass_time(minutes=1)
    assert host.times[2:] == ["12:05:00"]


async def test_run_on_startup_fires_at_once_and_is_not_past_due(world: World) -> None:
    world.jump(seconds=10)
    host = await world.start(timer(run_on_startup=True))
    await world.pass_time(minutes=1)
    assert host.fired == [("12:00:10", False), ("12:01:00", False)]


async def test_generic_trigger_of_the_type_is_a_timer_like_any_other(world: World) -> None:
    app = func.FunctionApp()

    @app.generic_trigger(
        arg_name="t", type="timerTrigger", schedule=EVERY_MINUTE, run_on_startup="True"
    )
    def tick(t: func.TimerRequest) -> None: ...

    host = await world.start(functions(app)["tick"])
    await world.pass_time(minutes=1)
    assert host.times == ["12:00:00", "12:01:00"]


async def test_missed_firings_are_made_up_for_once_as_past_due(world: World) -> None:
    first = await world.start()
    await world.pass_time(minutes=1)
    await first.listener.stop(0)
    world.jump(minutes=10, seconds=30)
    second = await world.start()
    await world.pass_time(minutes=1)
    assert second.fired == [("12:11:30", True), ("12:12:00", False)]


async def test_restart_between_two_firings_changes_nothing(world: World) -> None:
    first = await world.start()
    await world.pass_time(minutes=1, seconds=10)
    await first.listener.stop(0)
    second = await world.start()
    await world.pass_time(minutes=1)
    assert (first.times, second.fired) == (["12:01:00"], [("12:02:00", False)])


async def test_timer_without_monitor_forgets_what_it_missed(world: World) -> None:
    first = await world.start(timer(use_monitor=False))
    await world.pass_time(minutes=1)
    await first.listener.stop(0)
    world.jump(minutes=10)
    second = await world.start(timer(use_monitor=False))
    assert (second.fired, world.store.records) == ([], {})
    assert first.firings[0].status is None


async def test_schedule_within_a_minute_is_not_monitored(world: World) -> None:
    host = await world.start(timer("*/20 * * * * *"))
    await world.pass_time(minutes=1)
    assert host.times == ["12:00:20", "12:00:40", "12:01:00"]
    assert world.store.records == {}


async def test_changed_schedule_is_never_past_due(world: World) -> None:
    first = await world.start()
    await world.pass_time(minutes=1)
    await first.listener.stop(0)
    world.jump(minutes=10)
    second = await world.start(timer("0 30 * * * *"))
    await world.pass_time(minutes=20)
    assert second.fired == [("12:30:00", False)]


async def test_changed_schedule_is_missed_like_any_other(world: World) -> None:
    first = await world.start()
    await world.pass_time(minutes=1)
    await first.listener.stop(0)
    second = await world.start(timer("0 30 * * * *"))
    await second.listener.stop(0)
    world.jump(minutes=40)
    third = await world.start(timer("0 30 * * * *"))
    assert third.fired == [("12:41:00", True)]


async def test_status_is_stored_in_the_official_form(world: World) -> None:
    await world.start()
    assert world.status() == {"Last": "00:00:00", "Next": "12:01:00", "LastUpdated": "12:00:00"}
    await world.pass_time(minutes=1)
    assert world.status() == {"Last": "12:01:00", "Next": "12:02:00", "LastUpdated": "12:01:00"}


async def test_unusable_status_is_replaced(world: World, caplog: pytest.LogCaptureFixture) -> None:
    records = MemoryRecords(world.store)
    await records.write_record("timer/tick", "{", 0)
    host = await world.start()
    await world.pass_time(minutes=1)
    assert host.times == ["12:01:00"]
    assert world.status()["Last"] == "12:01:00"
    assert "The stored status of 'tick' is unusable" in caplog.text


async def test_two_hosts_fire_once(world: World) -> None:
    first, second = await world.start(), await world.start()
    await world.pass_time(minutes=3)
    assert (len(first.fired), second.fired) == (3, [])


async def test_other_host_goes_on_when_the_first_has_stopped(world: World) -> None:
    first, second = await world.start(), await world.start()
    await world.pass_time(minutes=1)
    await first.listener.stop(0)
    await world.pass_time(minutes=1)
    assert (first.times, second.fired) == (["12:01:00"], [("12:02:00", False)])


async def test_host_that_lost_its_timer_does_not_fire_and_gets_it_back(world: World) -> None:
    first, second = await world.start(), await world.start()
    await world.pass_time(minutes=1)
    first.records.die()
    await world.pass_time(minutes=1)
    assert (first.times, second.times) == (["12:01:00"], ["12:02:00"])
    await second.listener.stop(0)
    await world.pass_time(minutes=1)
    assert first.fired[1:] == [("12:03:00", False)]


async def test_store_that_does_not_answer_delays_a_firing_and_repeats_none(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    host = await world.start()
    await world.pass_time(seconds=59)
    host.records.is_down = True
    await world.pass_time(seconds=11)
    assert host.fired == []
    host.records.is_down = False
    await world.pass_time(seconds=HOLD_INTERVAL.total_seconds())
    assert host.fired == [("12:01:15", True)]
    await world.pass_time(minutes=1)
    assert host.times[1:] == ["12:02:00"]
    assert "The timer of 'tick' waits: the store is down" in caplog.text


async def test_status_that_could_not_be_stored_repeats_no_firing(world: World) -> None:
    host = await world.start(blocks=True)
    await world.pass_time(minutes=1)
    host.records.is_down = True
    host.go.set()
    await world.pass_time(minutes=1, seconds=10)
    host.records.is_down = False
    await world.pass_time(seconds=HOLD_INTERVAL.total_seconds())
    assert (len(host.fired), host.times[0]) == (2, "12:01:00")
    assert world.status()["Last"] == host.times[1]


async def test_stop_waits_for_a_running_function_and_fires_no_more(world: World) -> None:
    host = await world.start(blocks=True)
    await world.pass_time(minutes=1)
    stop = asyncio.create_task(host.listener.stop(30))
    await settle()
    assert not stop.done()
    host.go.set()
    await stop
    await world.pass_time(minutes=2)
    assert host.times == ["12:01:00"]
    assert (world.status()["Last"], world.store.holders) == ("12:01:00", {})


async def test_mistake_of_the_host_ends_no_schedule(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await world.start()
    with monkeypatch.context() as patch:
        patch.setattr(host.records, "hold_record", _broken)
        await world.pass_time(minutes=1)
    await world.pass_time(minutes=1)
    assert host.times[-1] == "12:02:00"
    assert "The timer of 'tick' failed." in caplog.text


async def _broken(key: str) -> bool:
    raise AssertionError("a bug")


async def test_coming_times_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "func_py.timers")
    await world.start(timer("0 30 9 * * 1"))
    lines = caplog.messages[0].splitlines()
    assert lines[0] == "The next 5 occurrences of the 'tick' schedule (0 30 9 * * 1) will be:"
    assert lines[1] == "2026-02-02 09:30:00+0000 (2026-02-02 09:30:00Z)"
    assert len(lines) == 6

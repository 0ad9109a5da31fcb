"""The engine on the embedded hub and on one that may lose turns and delivers twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.clock import VirtualClock
from func_py.durable.engine import EngineOptions
from func_py.durable.engine.turns import execution_turn
from func_py.durable.model import (
    EventRaised,
    ExecutionStarted,
    InstanceState,
    OrchestratorStarted,
    RuntimeStatus,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

Orchestration = Generator[Any, Any, Any]


def chain(context: Any) -> Orchestration:
    greetings = []
    for city in ("Tokyo", "Seattle", "London"):
        greeting = yield context.call_activity("hello", city)
        greetings.append(greeting)
    return greetings


def fan_out(context: Any) -> Orchestration:
    results = yield context.task_all(
        [context.call_activity("square", n) for n in range(context.get_input())]
    )
    return sum(results)


def nap(context: Any) -> Orchestration:
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    return "rested"


def approval(context: Any) -> Orchestration:
    timeout = context.create_timer(context.current_utc_datetime + timedelta(hours=72))
    decision = context.wait_for_external_event("Approval")
    winner = yield context.task_any([decision, timeout])
    if winner == decision:
        timeout.cancel()
        return decision.result
    return "timed out"


def failing(context: Any) -> Orchestration:
    yield context.call_activity("boom", None)


def misspelt(context: Any) -> Orchestration:
    return (yield context.call_activity("helo", "x"))


def three_events(context: Any) -> Orchestration:
    got = []
    for _ in range(3):
        tick = yield context.wait_for_external_event("Tick")
        got.append(tick)
    return got


def with_status(context: Any) -> Orchestration:
    context.set_custom_status({"step": 1})
    yield context.wait_for_external_event("Go")
    return 1


def blow_up(argument: Any) -> None:
    raise ValueError("no such luck")


ORCHESTRATORS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (chain, fan_out, nap, approval, failing, misspelt, three_events, with_status)
}
ACTIVITIES: dict[str, Callable[[Any], Any]] = {
    "hello": lambda city: f"Hello {city}!",
    "square": lambda n: n * n,
    "boom": blow_up,
}


def host(hub_factory: HubFactory, **more: Any) -> Host:
    return Host(hub_factory(), ORCHESTRATORS, ACTIVITIES, **more)


async def test_a_chain_completes_with_the_results_in_order(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("chain")

    assert state.status is RuntimeStatus.COMPLETED
    assert state.output == '["Hello Tokyo!", "Hello Seattle!", "Hello London!"]'


async def test_history_holds_each_turn_bracketed_and_in_order(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("chain")
        events = await h.client.history(state.instance_id)

    names = [type(e).__name__ for e in events]
    assert names[:4] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "TaskScheduled",
        "OrchestratorCompleted",
    ]
    assert names[-3:] == ["TaskCompleted", "ExecutionCompleted", "OrchestratorCompleted"]
    assert [e.task_id for e in events if isinstance(e, TaskScheduled)] == [0, 1, 2]
    assert [e.task_id for e in events if isinstance(e, TaskCompleted)] == [0, 1, 2]
    times = [e.timestamp for e in events if isinstance(e, OrchestratorStarted)]
    assert times == sorted(times)


async def test_a_fan_out_joins_every_result(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("fan_out", 50)

    assert state.output == str(sum(n * n for n in range(50)))


async def test_an_activity_failure_fails_the_orchestration_with_its_text(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("failing")

    assert state.status is RuntimeStatus.FAILED
    assert state.output is not None
    assert state.output.startswith(
        "Orchestrator function 'failing' failed: "
        "Activity function 'boom' failed:  ValueError: no such luck \n "
    )


async def test_an_unregistered_activity_fails_at_once_with_the_near_miss(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        h.activities.functions.pop("helo", None)
        state = await h.run("misspelt")

    assert state.status is RuntimeStatus.FAILED
    assert "The function 'helo' doesn't exist" in (state.output or "")


async def test_a_timer_fires_when_due_and_not_before(hub_factory: HubFactory) -> None:
    clock = VirtualClock()
    async with host(hub_factory, clock=clock) as h:
        instance_id = await h.client.start("nap")
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        clock.advance(timedelta(minutes=59))
        await asyncio.sleep(0)
        events = await h.client.history(instance_id)
        assert not [e for e in events if isinstance(e, TimerFired)]

        # In steps: timers beyond the horizon are loaded by the upkeep that runs in between.
        for _ in range(30):
            clock.advance(timedelta(seconds=5))
            for _ in range(50):
                await asyncio.sleep(0)
        state = await h.wait_for(instance_id)
        events = await h.client.history(instance_id)

    assert state.output == '"rested"'
    created = next(e for e in events if isinstance(e, TimerCreated))
    fired = next(e for e in events if isinstance(e, TimerFired))
    turns = [e for e in events if isinstance(e, OrchestratorStarted)]
    assert fired.fire_at == created.fire_at
    assert turns[-1].timestamp >= created.fire_at


async def test_an_approval_in_time_cancels_the_timer(hub_factory: HubFactory) -> None:
    clock = VirtualClock()
    async with host(hub_factory, clock=clock) as h:
        instance_id = await h.client.start("approval")
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        await h.client.raise_event(instance_id, "Approval", '"yes"')
        state = await h.wait_for(instance_id)
        leases = await h.hub.acquire([])
        assert leases == []

    assert state.output == '"yes"'


async def test_events_raised_before_the_code_waits_arrive_each_once_in_order(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("three_events")
        for n in range(3):
            await h.client.raise_event(instance_id, "tick", str(n))
        state = await h.wait_for(instance_id)

    assert state.output == "[0, 1, 2]"


async def test_terminate_ends_an_instance_with_the_reason(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("nap")
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        await h.client.terminate(instance_id, "changed my mind")
        state = await h.wait_for(instance_id)

    assert state.status is RuntimeStatus.TERMINATED
    assert state.output == "changed my mind"


async def test_suspend_holds_events_and_resume_delivers_them(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("three_events")
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        await h.client.suspend(instance_id, None)
        await h.wait_for(instance_id, RuntimeStatus.SUSPENDED)
        for n in range(3):
            await h.client.raise_event(instance_id, "Tick", str(n))

        async def stored() -> bool:
            events = await h.client.history(instance_id)
            return len([e for e in events if isinstance(e, EventRaised)]) == 3

        await until(stored, "the events to be in history")
        state = await h.client.get(instance_id)
        assert state is not None
        assert state.status is RuntimeStatus.SUSPENDED

        await h.client.resume(instance_id, None)
        state = await h.wait_for(instance_id)

    assert state.output == "[0, 1, 2]"


async def test_custom_status_is_stored_with_the_turn(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("with_status")
        state = await h.wait_for(instance_id, RuntimeStatus.RUNNING)

    assert state.custom_status == '{"step": 1}'


async def test_an_evicted_instance_goes_on_from_its_history(hub_factory: HubFactory) -> None:
    options = EngineOptions(session_bytes=0)
    async with host(hub_factory, options=options) as h:
        instance_id = await h.client.start("three_events")
        for n in range(3):
            await h.client.raise_event(instance_id, "Tick", str(n))
            await h.wait_for(instance_id, RuntimeStatus.RUNNING, RuntimeStatus.COMPLETED)
        state = await h.wait_for(instance_id)

    assert state.output == "[0, 1, 2]"


async def test_a_stopped_host_is_continued_by_the_next_one(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as first:
        instance_id = await first.client.start("three_events")
        await first.client.raise_event(instance_id, "Tick", "0")
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)
    async with host(hub_factory) as second:
        await second.client.raise_event(instance_id, "Tick", "1")
        await second.client.raise_event(instance_id, "Tick", "2")
        state = await second.wait_for(instance_id)

    assert state.output == "[0, 1, 2]"


async def test_messages_sent_while_no_host_ran_are_not_lost(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as first:
        instance_id = await first.client.start("three_events")
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)
        await first.engine.stop(0)
        for n in range(3):
            await first.client.raise_event(instance_id, "Tick", str(n))
    async with host(hub_factory) as second:
        state = await second.wait_for(instance_id)

    assert state.output == "[0, 1, 2]"


async def test_many_instances_at_once_all_complete(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        ids = [await h.client.start("chain") for _ in range(40)]
        states = [await h.wait_for(i) for i in ids]

    assert {s.status for s in states} == {RuntimeStatus.COMPLETED}
    assert len(h.activities.calls) >= 120


async def test_code_that_changed_under_an_instance_fails_it_as_non_deterministic(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as first:
        instance_id = await first.client.start("approval")
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)

    def approval_changed(context: Any) -> Orchestration:
        yield context.call_activity("hello", "new first step")
        return (yield context.wait_for_external_event("Approval"))

    changed = Host(hub_factory(), {"approval": approval_changed}, ACTIVITIES)
    async with changed as second:
        await second.client.raise_event(instance_id, "Approval", "1")
        state = await second.wait_for(instance_id)

    assert state.status is RuntimeStatus.FAILED
    assert "Non-Deterministic workflow detected" in (state.output or "")


async def test_an_orchestrator_removed_from_the_app_fails_its_instances(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as first:
        instance_id = await first.client.start("three_events")
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)
    async with Host(hub_factory(), {"three_event": three_events}) as second:
        await second.client.raise_event(instance_id, "Tick", "1")
        state = await second.wait_for(instance_id)

    assert state.status is RuntimeStatus.FAILED
    assert "Did you mean 'three_event'?" in (state.output or "")


async def test_a_replaced_instance_drops_what_the_old_execution_asked_for(
    hub_factory: HubFactory,
) -> None:
    release = asyncio.Event()

    async def slow(argument: Any) -> str:
        await release.wait()
        return "late"

    def waits(context: Any) -> Orchestration:
        return (yield context.call_activity("slow", None))

    async with Host(hub_factory(), {"waits": waits}, {"slow": slow}) as h:
        await h.client.start("waits", instance_id="same")
        await until(lambda: _true(len(h.activities.calls) == 1), "the activity to run")
        await h.client.terminate("same", None)
        await h.wait_for("same", RuntimeStatus.TERMINATED)
        await h.client.start("waits", instance_id="same")
        await until(lambda: _true(len(h.activities.calls) >= 2), "the second to run")
        release.set()
        state = await h.wait_for("same", RuntimeStatus.COMPLETED)
        events = await h.client.history("same")

    assert state.output == '"late"'
    assert len([e for e in events if isinstance(e, ExecutionStarted)]) == 1
    assert len([e for e in events if isinstance(e, TaskCompleted)]) == 1


async def test_an_instance_that_breaks_the_engine_is_failed_and_others_go_on(
    hub_factory: HubFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(lease: Any, slot: Any, state: InstanceState, *more: Any, **named: Any) -> Any:
        if state.name == "nap":
            raise RuntimeError("a bug of ours")
        return execution_turn(lease, slot, state, *more, **named)

    monkeypatch.setattr("func_py.durable.engine.orchestrations.execution_turn", breaks)
    async with host(hub_factory) as h:
        bad = await h.run("nap")
        good = await h.run("chain")

    assert bad.status is RuntimeStatus.FAILED
    assert "a bug of ours" in (bad.output or "")
    assert good.status is RuntimeStatus.COMPLETED


async def test_the_activity_limit_holds(hub_factory: HubFactory) -> None:
    running = itertools.count()
    now = 0
    most = 0

    async def busy(argument: Any) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return next(running)

    def wide(context: Any) -> Orchestration:
        yield context.task_all([context.call_activity("busy", n) for n in range(30)])

    options = EngineOptions(max_activities=3)
    async with Host(hub_factory(), {"wide": wide}, {"busy": busy}, options=options) as h:
        state = await h.run("wide")

    assert state.status is RuntimeStatus.COMPLETED
    assert most == 3


async def _true(value: bool) -> bool:
    return value

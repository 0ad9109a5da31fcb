"""Children, continue-as-new, retries and code that reads its history, on the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    ExecutionStarted,
    GenericEvent,
    RuntimeStatus,
    SubOrchestrationCreated,
    TaskFailed,
    TimerFired,
)
from func_py.durable.storage.base import Mail

Orchestration = Generator[Any, Any, Any]


def parent(context: Any) -> Orchestration:
    one = yield context.call_sub_orchestrator("child", {"n": 1})
    many = yield context.task_all(
        [context.call_sub_orchestrator("child", {"n": n}) for n in (2, 3)]
    )
    return [one, *many]


def child(context: Any) -> Orchestration:
    n = context.get_input()["n"]
    return (yield context.call_activity("double", n))


def bad_parent(context: Any) -> Orchestration:
    try:
        yield context.call_sub_orchestrator("bad_child")
    except Exception as error:  # noqa: BLE001 - the SDK has no narrower class
        return str(error)


def bad_child(context: Any) -> Orchestration:
    yield context.call_activity("double", 1)
    raise ValueError("bad")


def named_parent(context: Any) -> Orchestration:
    return (yield context.call_sub_orchestrator("waits", None, "named"))


def lost_parent(context: Any) -> Orchestration:
    return (yield context.call_sub_orchestrator("chidl"))


def waits(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("Go"))


def counter(context: Any) -> Orchestration:
    n = context.get_input()
    yield context.call_activity("double", n)
    if n < 5:
        context.continue_as_new(n + 1)
        return None
    return f"done at {n}"


def collector(context: Any) -> Orchestration:
    """Takes one event a generation; what came too early must reach the next ones, in order."""
    got = context.get_input() or []
    got.append(json.loads((yield context.wait_for_external_event("Item"))))
    if len(got) < 4:
        yield context.call_activity("double", 1)
        context.continue_as_new(got)
        return None
    return got


def spinner(context: Any) -> Orchestration:
    """Continues as new without waiting for anything."""
    n = context.get_input()
    if n < 30:
        context.continue_as_new(n + 1)
        return None
    return n
    yield


def retrying(context: Any) -> Orchestration:
    options = df.RetryOptions(1, 3)
    return (yield context.call_activity_with_retry("flaky", options, None))


def historian(context: Any) -> Orchestration:
    """Reads its own history: replayed as a whole each turn."""
    yield context.call_activity("double", 1)
    yield context.call_activity("double", 2)
    done = [e for e in context.histories if e.event_type == 5]
    return len(done)


ORCHESTRATORS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        parent,
        child,
        bad_parent,
        bad_child,
        named_parent,
        lost_parent,
        waits,
        counter,
        collector,
        spinner,
        retrying,
        historian,
    )
}


def host(hub_factory: HubFactory, **more: Any) -> Host:
    failures = iter([True, True, False])

    def flaky(argument: Any) -> str:
        if next(failures):
            raise OSError("not now")
        return "at last"

    activities: dict[str, Callable[[Any], Any]] = {"double": lambda n: 2 * n, "flaky": flaky}
    return Host(hub_factory(), ORCHESTRATORS, activities, **more)


async def test_children_answer_their_parent(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("parent")
        events = await h.client.history(state.instance_id)
        created = [e for e in events if isinstance(e, SubOrchestrationCreated)]
        first = await h.client.get(created[0].instance_id)

    assert state.output == "[2, 4, 6]"
    assert [e.task_id for e in created] == [0, 1, 2]
    assert first is not None
    assert first.parent is not None
    assert first.parent.instance_id == state.instance_id


async def test_a_failed_child_fails_the_call_with_the_official_text(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("bad_parent")

    text = json.loads(state.output or "")
    assert text.startswith(
        "Orchestrator function 'bad_child' failed: bad \n Message: bad, StackTrace: "
    )


async def test_a_terminated_child_fails_the_call(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("named_parent")
        await h.wait_for("named", RuntimeStatus.RUNNING)
        await h.client.terminate("named", "stopped by hand")
        state = await h.wait_for(instance_id)

    assert state.status is RuntimeStatus.FAILED
    assert "stopped by hand" in (state.output or "")


async def test_a_child_under_a_living_id_fails_the_call(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.start("waits", instance_id="named")
        await h.wait_for("named", RuntimeStatus.RUNNING)
        state = await h.run("named_parent")
        living = await h.client.get("named")

    assert state.status is RuntimeStatus.FAILED
    assert "already exists" in (state.output or "")
    assert living is not None
    assert living.status is RuntimeStatus.RUNNING


async def test_a_child_replaces_a_finished_instance_of_its_id(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        await h.client.start("waits", instance_id="named")
        await h.client.terminate("named", None)
        await h.wait_for("named", RuntimeStatus.TERMINATED)
        instance_id = await h.client.start("named_parent")
        await h.wait_for("named", RuntimeStatus.RUNNING)
        await h.client.raise_event("named", "Go", "7")
        state = await h.wait_for(instance_id)

    assert state.output == "7"


async def test_an_unregistered_child_fails_at_once_with_the_near_miss(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("lost_parent")

    assert state.status is RuntimeStatus.FAILED
    assert "Did you mean 'child'?" in (state.output or "")


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_event_that_comes_before_the_start_waits_for_it(
    hub_factory: HubFactory, at_once: bool
) -> None:
    """Where there are no transactions, the death of a host may hide a start for a while."""
    hub = hub_factory()
    receive = hub.receive
    held: list[Mail] = []
    ready: list[Mail] = []

    async def receive_starts_last() -> Sequence[Mail]:
        while not ready:
            mail = await receive()
            held.extend(m for m in mail if isinstance(m.message.event, ExecutionStarted))
            others = [m for m in mail if not isinstance(m.message.event, ExecutionStarted)]
            if others:
                ready.extend(held)
                return others + (held if at_once else [])
        found = list(ready)
        ready.clear()
        return found

    hub.receive = receive_starts_last  # type: ignore[method-assign]
    async with Host(hub, ORCHESTRATORS) as h:
        await h.client.start("waits", instance_id="i")
        await h.client.raise_event("i", "Go", "1")
        state = await h.wait_for("i")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "1")


async def test_continue_as_new_starts_over_with_an_empty_history(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("counter", 1)
        events = await h.client.history(state.instance_id)

    started = [e for e in events if isinstance(e, ExecutionStarted)]
    assert state.output == '"done at 5"'
    assert [e.execution_id for e in started] == [state.execution_id]


async def test_events_that_came_early_reach_later_generations_in_order(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("collector")
        for n in range(4):
            await h.client.raise_event(instance_id, "Item", json.dumps(json.dumps(n)))
        state = await h.wait_for(instance_id)

    assert state.output == "[0, 1, 2, 3]"


async def test_a_loop_without_waits_lets_others_run(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        spinning = await h.client.start("spinner", input="0")
        other = await h.run("counter", 5)
        state = await h.wait_for(spinning)

    assert other.status is RuntimeStatus.COMPLETED
    assert state.output == "30"


async def test_a_generation_that_was_opened_runs_after_a_restart(
    hub_factory: HubFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host goes between the commit that opens a generation and its first turn."""
    first = host(hub_factory)
    receive = first.hub.receive

    async def deaf() -> list[Mail]:
        return [m for m in await receive() if not isinstance(m.message.event, GenericEvent)]

    monkeypatch.setattr(first.hub, "receive", deaf)
    async with first as h:
        instance_id = await h.client.start("spinner", input="28")

        async def opened() -> bool:
            state = await h.client.get(instance_id)
            return state is not None and state.input == '"29"'

        await until(opened, "the next generation to be opened")
    async with host(hub_factory) as second:
        state = await second.wait_for(instance_id)

    assert state.output == "30"


async def test_a_call_with_retry_tries_again_and_succeeds(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        state = await h.run("retrying")
        events = await h.client.history(state.instance_id)

    assert state.output == '"at last"'
    assert len([e for e in events if isinstance(e, TaskFailed)]) == 2
    assert len([e for e in events if isinstance(e, TimerFired)]) == 2


async def test_code_that_reads_its_history_is_replayed_as_a_whole(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory) as h:
        state = await h.run("historian")

    assert state.output == "2"


async def test_an_idle_instance_is_dropped_from_memory_and_goes_on(
    hub_factory: HubFactory,
) -> None:
    options = EngineOptions(session_idle=timedelta(0))
    async with host(hub_factory, options=options) as h:
        instance_id = await h.client.start("waits")
        await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        partition = h.engine._holdings.of(instance_id)
        assert partition is not None
        slots = partition._slots

        async def dropped() -> bool:
            return slots.get(instance_id) is None

        await until(dropped, "the idle instance to be dropped")
        await h.client.raise_event(instance_id, "Go", "1")
        state = await h.wait_for(instance_id)

    assert state.output == "1"


async def test_an_execution_that_asks_for_too_many_tasks_fails(hub_factory: HubFactory) -> None:
    async with host(hub_factory, options=EngineOptions(max_actions=2)) as h:
        state = await h.run("parent")

    assert state.status is RuntimeStatus.FAILED
    assert state.output is not None
    assert "Maximum amount of orchestration actions (2) has been reached." in state.output


async def test_an_execution_may_ask_for_as_many_tasks_as_it_is_allowed(
    hub_factory: HubFactory,
) -> None:
    async with host(hub_factory, options=EngineOptions(max_actions=3)) as h:
        assert (await h.run("parent")).status is RuntimeStatus.COMPLETED

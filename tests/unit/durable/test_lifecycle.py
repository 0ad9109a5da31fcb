"""Rewind, restart, terminate and purge with children, on the engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

import azure.durable_functions as df
import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.durable.model import (
    ExecutionCompleted,
    ExecutionRewound,
    RuntimeStatus,
    SubOrchestrationCreated,
    TaskFailed,
)
from func_py.durable.replay import verify
from func_py.errors import InstanceAlreadyExists, InstanceNotFound

Orchestration = Generator[Any, Any, Any]


def simple(context: Any) -> Orchestration:
    first = yield context.call_activity("good", 1)
    second = yield context.call_activity("flaky", 2)
    third = yield context.call_activity("good", 3)
    return [first, second, third]


def stubborn(context: Any) -> Orchestration:
    before = yield context.call_activity("good", 1)
    result = yield context.call_activity_with_retry("flaky", df.RetryOptions(1, 2), 2)
    return [before, result]


def wide(context: Any) -> Orchestration:
    results = yield context.task_all(
        [context.call_activity("flaky" if n == 3 else "good", n) for n in range(6)]
    )
    return sum(results)


def careful(context: Any) -> Orchestration:
    try:
        yield context.call_activity("bad", 0)
    except Exception:  # noqa: BLE001 - the SDK has no narrower class
        context.set_custom_status("caught")
    return (yield context.call_activity("flaky", 2))


def parent(context: Any) -> Orchestration:
    before = yield context.call_activity("good", 1)
    child = yield context.call_sub_orchestrator("simple")
    return [before, child]


def buggy(context: Any) -> Orchestration:
    value = yield context.wait_for_external_event("Go")
    yield context.call_activity("good", 1)
    raise ValueError(f"cannot handle {value}")


def mended(context: Any) -> Orchestration:
    value = yield context.wait_for_external_event("Go")
    yield context.call_activity("good", 1)
    return value


def waits(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("Go"))


def family(context: Any) -> Orchestration:
    yield context.task_all(
        [context.call_sub_orchestrator("nested"), context.call_sub_orchestrator("waits")]
    )


def nested(context: Any) -> Orchestration:
    yield context.call_sub_orchestrator("waits")


ORCHESTRATORS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f for f in (simple, stubborn, wide, careful, parent, buggy, waits, family, nested)
}


class Flaky:
    """Activities that count their calls; `flaky` fails until it is mended."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.is_mended = False

    def functions(self) -> dict[str, Callable[[Any], Any]]:
        return {"good": self._good, "flaky": self._flaky, "bad": self._bad}

    def _good(self, n: int) -> int:
        self.calls[f"good {n}"] += 1
        return 10 * n

    def _flaky(self, n: int) -> int:
        self.calls[f"flaky {n}"] += 1
        if not self.is_mended:
            raise OSError("not now")
        return 10 * n

    def _bad(self, n: int) -> None:
        self.calls["bad"] += 1
        raise OSError("never")


async def rewound(h: Host, flaky: Flaky, name: str) -> Any:
    """Let it fail, mend what it failed of, rewind it; its output."""
    state = await h.run(name)
    assert state.status is RuntimeStatus.FAILED
    flaky.is_mended = True
    await h.client.rewind(state.instance_id, "mended")
    after = await h.wait_for(state.instance_id, RuntimeStatus.COMPLETED)
    assert after.execution_id != state.execution_id
    assert after.failure is None
    events = await h.client.history(state.instance_id)
    assert [e.reason for e in events if isinstance(e, ExecutionRewound)] == ["mended"]
    assert len([e for e in events if isinstance(e, ExecutionCompleted)]) == 1
    orchestrator = h.functions.orchestrator(name)
    assert orchestrator is not None
    assert verify(orchestrator.function, state.instance_id, events) is None
    return json.loads(after.output or "null")


async def test_rewind_makes_only_the_failed_call_again(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        output = await rewound(h, flaky, "simple")

    assert output == [10, 20, 30]
    assert flaky.calls == {"good 1": 1, "flaky 2": 2, "good 3": 1}


async def test_rewind_repeats_the_last_attempt_of_a_call_with_retries(
    hub_factory: HubFactory,
) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        output = await rewound(h, flaky, "stubborn")

    assert output == [10, 20]
    assert flaky.calls == {"good 1": 1, "flaky 2": 3}


async def test_rewind_keeps_the_answers_of_the_other_branches(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        output = await rewound(h, flaky, "wide")

    assert output == 150
    assert flaky.calls["flaky 3"] == 2


async def test_rewind_leaves_failures_alone_that_the_code_had_caught(
    hub_factory: HubFactory,
) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        output = await rewound(h, flaky, "careful")

    assert output == 20
    assert flaky.calls == {"bad": 1, "flaky 2": 2}


async def test_rewind_takes_failed_children_with_it(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        output = await rewound(h, flaky, "parent")

    assert output == [10, [10, 20, 30]]
    assert flaky.calls == {"good 1": 2, "flaky 2": 2, "good 3": 1}


async def test_rewind_after_the_code_was_mended_plays_the_last_turn_again(
    hub_factory: HubFactory,
) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        instance_id = await h.client.start("buggy")
        await h.client.raise_event(instance_id, "Go", '"it"')
        failed = await h.wait_for(instance_id)
        assert failed.output == "Orchestrator function 'buggy' failed: cannot handle it"
    async with Host(hub_factory(), {"buggy": mended}, flaky.functions()) as h:
        await h.client.rewind(instance_id, None)
        state = await h.wait_for(instance_id, RuntimeStatus.COMPLETED)

    assert state.output == '"it"'
    assert flaky.calls["good 1"] == 1


async def test_rewind_of_anything_but_a_failed_instance_changes_nothing(
    hub_factory: HubFactory,
) -> None:
    flaky = Flaky()
    flaky.is_mended = True
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        done = await h.run("simple")
        await h.client.rewind(done.instance_id, None)
        running = await h.client.start("waits")
        await h.client.rewind(running, None)
        await h.client.raise_event(running, "Go", "1")
        state = await h.wait_for(running)
        same = await h.client.get(done.instance_id)

    assert state.output == "1"
    assert same == done


async def test_a_failure_after_a_rewind_fails_it_again(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        first = await h.run("simple")
        await h.client.rewind(first.instance_id, None)

        async def failed_again() -> bool:
            state = await h.client.get(first.instance_id)
            return (
                state is not None
                and state.status is RuntimeStatus.FAILED
                and state.execution_id != first.execution_id
            )

        await until(failed_again, "the second failure")
        events = await h.client.history(first.instance_id)

    assert len([e for e in events if isinstance(e, TaskFailed)]) == 1
    assert flaky.calls["flaky 2"] == 2


async def test_terminate_can_end_the_whole_family(hub_factory: HubFactory) -> None:
    async with Host(hub_factory(), ORCHESTRATORS) as h:
        instance_id = await h.client.start("family")
        ids = await _descendants(h, instance_id, 3)
        await h.client.terminate(instance_id, "enough", recursive=True)
        states = [await h.wait_for(i) for i in (instance_id, *ids)]

    assert {(s.status, s.output) for s in states} == {(RuntimeStatus.TERMINATED, "enough")}


async def test_terminate_leaves_children_alone_unless_asked(hub_factory: HubFactory) -> None:
    async with Host(hub_factory(), ORCHESTRATORS) as h:
        instance_id = await h.client.start("family")
        ids = await _descendants(h, instance_id, 3)
        await h.client.terminate(instance_id, "enough")
        await h.wait_for(instance_id)
        states = [await h.wait_for(i, RuntimeStatus.RUNNING) for i in ids]

    assert len(states) == 3


async def test_restart_runs_the_same_again(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    flaky.is_mended = True
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        first = await h.run("simple")
        other = await h.client.restart(first.instance_id, new_instance_id=True)
        same = await h.client.restart(first.instance_id, new_instance_id=False)
        states = [await h.wait_for(i) for i in (other, same)]
        waiting = await h.client.start("waits")
        await h.wait_for(waiting, RuntimeStatus.RUNNING)
        with pytest.raises(InstanceAlreadyExists):
            await h.client.restart(waiting, new_instance_id=False)
        with pytest.raises(InstanceNotFound):
            await h.client.restart("nobody", new_instance_id=True)

    assert other != first.instance_id
    assert same == first.instance_id
    assert [s.output for s in states] == [first.output, first.output]


async def test_purge_with_children_takes_finished_families_only(hub_factory: HubFactory) -> None:
    async with Host(hub_factory(), ORCHESTRATORS) as h:
        instance_id = await h.client.start("family")
        ids = await _descendants(h, instance_id, 3)
        assert await h.client.purge_with_children(instance_id) == 0
        await h.client.terminate(instance_id, None)
        await h.wait_for(instance_id)
        assert await h.client.purge_with_children(instance_id) == 0
        for child in ids:
            await h.client.terminate(child, None, recursive=True)
        for child in ids:
            await h.wait_for(child)
        count = await h.client.purge_with_children(instance_id)
        left = [await h.client.get(i) for i in (instance_id, *ids)]

    assert count == 4
    assert left == [None] * 4


async def test_purge_all_takes_finished_instances_of_the_span(hub_factory: HubFactory) -> None:
    flaky = Flaky()
    async with Host(hub_factory(), ORCHESTRATORS, flaky.functions()) as h:
        failed = await h.run("simple")
        waiting = await h.client.start("waits")
        await h.wait_for(waiting, RuntimeStatus.RUNNING)
        ended = await h.client.start("waits")
        await h.client.terminate(ended, None)
        await h.wait_for(ended)
        early = datetime(2000, 1, 1, tzinfo=UTC)
        none = await h.client.purge_all(early, early)
        some = await h.client.purge_all(early, None, [RuntimeStatus.FAILED, RuntimeStatus.RUNNING])
        rest = await h.client.purge_all(early, None)
        kept = await h.client.get(waiting)
        gone = await h.client.get(failed.instance_id)

    assert (none, some, rest) == (0, 1, 1)
    assert kept is not None
    assert gone is None


async def _descendants(h: Host, instance_id: str, count: int) -> list[str]:
    """Ids of all children and theirs, once there are as many as expected and all wait."""

    async def found() -> list[str]:
        ids: list[str] = []
        todo = [instance_id]
        while todo:
            for event in await h.client.history(todo.pop()):
                if isinstance(event, SubOrchestrationCreated):
                    ids.append(event.instance_id)
                    todo.append(event.instance_id)
        return ids if len(ids) == count else []

    ids = await until(found, f"{count} descendants of {instance_id}")
    for child in ids:
        await h.wait_for(child, RuntimeStatus.RUNNING)
    return ids

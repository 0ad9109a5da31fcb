"""What an instance keeps over continue-as-new and a rewind: status, parent, version, tags."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    ExecutionStarted,
    InstanceState,
    Message,
    OrchestratorCompleted,
    RuntimeStatus,
    pending_state,
)

Orchestration = Generator[Any, Any, Any]

TAGS = {"team": "billing"}


def seen(context: Any) -> list[Any]:
    """The facts as the code sees them."""
    return [context.parent_instance_id, context.version]


def looping(context: Any) -> Orchestration:
    """Sets a status in its first generation, ends in its third."""
    generation = context.get_input()
    if generation == 1:
        context.set_custom_status({"set in": generation})
    yield context.wait_for_external_event("Go")
    if generation == 3:
        return seen(context)
    context.continue_as_new(generation + 1)
    return None


def fragile(context: Any) -> Orchestration:
    yield context.wait_for_external_event("Go")
    context.set_custom_status("handling")
    raise ValueError("not yet")


def mended(context: Any) -> Orchestration:
    yield context.wait_for_external_event("Go")
    yield context.wait_for_external_event("Go")
    return seen(context)


def parent(context: Any) -> Orchestration:
    name, value = context.get_input()
    return (yield context.call_sub_orchestrator(name, value, "the child", version="1.7"))


OPTIONS = EngineOptions(default_version="2.0")


def host(hub_factory: HubFactory, fragile: Any = fragile) -> Host:
    functions = {"looping": looping, "fragile": fragile, "parent": parent}
    return Host(hub_factory(), functions, options=OPTIONS)


async def start_with_tags(h: Host, name: str, value: Any) -> str:
    """Start an instance as another host of the field may, whose clients know tags."""
    started = ExecutionStarted(
        timestamp=h.clock.now(),
        message_id="start",
        name=name,
        execution_id="first",
        input=json.dumps(value),
        version="1.5",
        tags=TAGS,
    )
    start = Message(id="start", instance_id="tagged", execution_id="first", event=started)
    await h.hub.create_instance(pending_state("tagged", started), start, frozenset())
    return "tagged"


async def generation(h: Host, instance_id: str, number: int) -> InstanceState:
    """The record when that generation has had its first turn."""

    async def reached() -> InstanceState | None:
        state = await h.client.get(instance_id)
        events = await h.client.history(instance_id)
        is_new = state is not None and state.input == json.dumps(str(number))
        has_run = any(isinstance(event, OrchestratorCompleted) for event in events)
        return state if is_new and has_run else None

    return await until(reached, f"generation {number} of {instance_id}")


async def last_generation(h: Host, instance_id: str) -> InstanceState:
    """Let `looping` run to its third generation, which then waits."""
    await h.client.raise_event(instance_id, "Go", "1")
    await generation(h, instance_id, 2)
    await h.client.raise_event(instance_id, "Go", "1")
    return await generation(h, instance_id, 3)


async def test_the_custom_status_stays_over_continue_as_new(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await h.client.start("looping", input="1")
        state = await last_generation(h, instance_id)
        await h.client.raise_event(instance_id, "Go", "1")
        end = await h.wait_for(instance_id)

    assert [state.custom_status, end.custom_status] == ['{"set in": 1}'] * 2


async def test_version_and_tags_stay_over_continue_as_new(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await start_with_tags(h, "looping", 1)
        state = await last_generation(h, instance_id)
        (started,) = [
            event
            for event in await h.client.history(instance_id)
            if isinstance(event, ExecutionStarted)
        ]
        await h.client.raise_event(instance_id, "Go", "1")
        end = await h.wait_for(instance_id)

    assert (state.version, state.tags) == ("1.5", TAGS)
    assert (started.version, started.tags) == ("1.5", TAGS)
    assert end.output == '[null, "1.5"]'


async def test_a_child_keeps_its_parent_over_continue_as_new(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        parent_id = await start_with_tags(h, "parent", ["looping", 1])
        await h.wait_for("the child", RuntimeStatus.RUNNING)
        child = await last_generation(h, "the child")
        await h.client.raise_event("the child", "Go", "1")
        end = await h.wait_for(parent_id)

    assert child.parent is not None
    assert (child.parent.instance_id, child.tags) == (parent_id, TAGS)
    assert end.output == '["tagged", "1.7"]'


async def test_version_tags_and_status_stay_over_a_rewind(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        instance_id = await start_with_tags(h, "fragile", None)
        await h.client.raise_event(instance_id, "Go", "1")
        failed = await h.wait_for(instance_id)
    async with host(hub_factory, mended) as h:
        await h.client.rewind(instance_id, None)
        rewound = await h.wait_for(instance_id, RuntimeStatus.RUNNING)
        await h.client.raise_event(instance_id, "Go", "1")
        end = await h.wait_for(instance_id)

    for state in (failed, rewound, end):
        assert (state.version, state.tags, state.custom_status) == ("1.5", TAGS, '"handling"')
    assert end.output == '[null, "1.5"]'


async def test_a_rewound_child_answers_its_parents_new_execution(hub_factory: HubFactory) -> None:
    async with host(hub_factory) as h:
        parent_id = await start_with_tags(h, "parent", ["fragile", None])
        await h.wait_for("the child", RuntimeStatus.RUNNING)
        await h.client.raise_event("the child", "Go", "1")
        failed = await h.wait_for(parent_id)
    async with host(hub_factory, mended) as h:
        await h.client.rewind(parent_id, None)
        child = await h.wait_for("the child", RuntimeStatus.RUNNING)
        await h.client.raise_event("the child", "Go", "1")
        end = await h.wait_for(parent_id, RuntimeStatus.COMPLETED)

    assert child.parent is not None
    assert (child.parent.instance_id, child.parent.execution_id) == (parent_id, end.execution_id)
    assert child.parent.execution_id != failed.execution_id
    assert (child.version, child.tags) == ("1.7", TAGS)
    assert end.output == '["tagged", "1.7"]'


async def test_a_failure_of_the_code_is_logged_with_its_traceback(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "func_py.durable.engine"):
        async with host(hub_factory) as h:
            instance_id = await h.client.start("fragile")
            await h.client.raise_event(instance_id, "Go", "1")
            await h.wait_for(instance_id)

    assert f"Orchestrator 'fragile' (instance '{instance_id}') failed: Traceback" in caplog.text
    assert f'File "{__file__}"' in caplog.text

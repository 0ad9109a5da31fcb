"""Code changes under live instances: those that do not fit are held and told, not failed."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import HubFactory, sqlite_hub

from func_py.durable.engine import EditCheck, Misfits
from func_py.durable.model import RuntimeStatus, TaskCompleted
from func_py.durable.replay import is_muted
from func_py.durable.storage.histories import whole_history

Orchestration = Generator[Any, Any, Any]

ACTIVITIES = {"hello": lambda name: f"Hello, {name}", "bye": lambda name: f"Bye, {name}"}


def tour(context: Any) -> Orchestration:
    yield context.call_activity("hello", "a")
    return (yield context.wait_for_external_event("go"))


def tour_edited(context: Any) -> Orchestration:
    yield context.call_activity("bye", "a")
    return (yield context.wait_for_external_event("go"))


def tour_extended(context: Any) -> Orchestration:
    yield context.call_activity("hello", "a")
    went = yield context.wait_for_external_event("go")
    return [went, (yield context.call_activity("bye", "b"))]


def waits(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("go"))


def calls_a_misspelt_child(context: Any) -> Orchestration:
    return (yield context.call_sub_orchestrator("tuor"))


@pytest.fixture
def hub_factory(tmp_path: Path) -> HubFactory:
    return lambda: sqlite_hub(tmp_path)


def host(hub_factory: HubFactory, **orchestrators: Any) -> Host:
    return Host(hub_factory(), orchestrators, ACTIVITIES, misfits=Misfits())


async def live_instance(hub_factory: HubFactory, name: str = "tour") -> str:
    """The id of an instance that waits for its event, without a host."""
    async with host(hub_factory, tour=tour, waits=waits) as first:
        instance_id = await first.client.start(name)

        async def is_waiting() -> bool:
            state = await first.client.get(instance_id)
            history = await whole_history(first.hub, instance_id)
            called = any(isinstance(event, TaskCompleted) for event in history)
            return state is not None and state.status is RuntimeStatus.RUNNING and called

        if name == "tour":
            await until(is_waiting, "the activity to be in history")
        else:
            await first.wait_for(instance_id, RuntimeStatus.RUNNING)
    return instance_id


async def test_an_instance_that_does_not_fit_is_held_until_code_that_fits(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    instance_id = await live_instance(hub_factory)

    async with host(hub_factory, tour=tour_edited) as edited:
        await edited.client.raise_event(instance_id, "go", "1")
        await until(lambda: _logged(caplog, "is held"), "the instance to be held")
        state = await edited.client.get(instance_id)
        assert state is not None
        assert state.status is RuntimeStatus.RUNNING
    async with host(hub_factory, tour=tour_extended) as corrected:
        state = await corrected.wait_for(instance_id)

    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, '[1, "Bye, b"]')
    place = f"{Path(__file__).name}:{tour_edited.__code__.co_firstlineno + 1}"
    assert place in caplog.text
    assert (
        "asks for activity 'bye' (#0), where its history (event 2) has activity 'hello' (#0)"
        in (caplog.text)
    )


async def test_a_held_instance_can_be_terminated(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    instance_id = await live_instance(hub_factory)

    async with host(hub_factory, tour=tour_edited) as edited:
        await edited.client.raise_event(instance_id, "go", "1")
        await until(lambda: _logged(caplog, "is held"), "the instance to be held")
        await edited.client.terminate(instance_id, "given up")
        state = await edited.wait_for(instance_id)

    assert state.status is RuntimeStatus.TERMINATED


async def test_an_instance_whose_orchestrator_was_taken_away_is_held(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    instance_id = await live_instance(hub_factory)

    async with host(hub_factory, tuor=tour) as edited:
        await edited.client.raise_event(instance_id, "go", "1")
        await until(lambda: _logged(caplog, "is held"), "the instance to be held")
    async with host(hub_factory, tour=tour) as corrected:
        state = await corrected.wait_for(instance_id)

    assert state.status is RuntimeStatus.COMPLETED


async def test_a_misspelt_child_fails_at_once_all_the_same(hub_factory: HubFactory) -> None:
    async with host(hub_factory, tour=tour, parent=calls_a_misspelt_child) as only:
        state = await only.run("parent")

    assert state.status is RuntimeStatus.FAILED
    assert "Did you mean 'tour'?" in (state.output or "")


async def test_the_check_tells_each_kind_of_misfit_once_and_nothing_of_those_that_fit(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "func_py.durable.engine")
    misfits = [await live_instance(hub_factory), await live_instance(hub_factory)]
    fits = await live_instance(hub_factory, "waits")

    async with host(hub_factory, tour=tour_edited, waits=waits) as edited:
        caplog.clear()
        check = EditCheck(edited.hub, edited.functions, edited.clock, Misfits())
        await check.begin(10.0)
        await check.close()

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.partition(" ")[2].partition(" ")[0] for text in warnings] == [f"'{misfits[1]}'"]
    assert f"'{misfits[0]}' of 'tour' is held, too" in caplog.text
    assert fits not in caplog.text


async def test_the_check_neither_logs_nor_prints_what_orchestrators_say(
    hub_factory: HubFactory, caplog: pytest.LogCaptureFixture
) -> None:
    await live_instance(hub_factory)
    said: list[bool] = []

    def talkative(context: Any) -> Orchestration:
        said.append(is_muted())
        yield context.call_activity("hello", "a")
        return (yield context.wait_for_external_event("go"))

    async with host(hub_factory, tour=talkative) as edited:
        check = EditCheck(edited.hub, edited.functions, edited.clock, Misfits())
        await check.begin(10.0)
        await check.close()

    assert said == [True]


async def _logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text

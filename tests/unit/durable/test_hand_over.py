"""An engine hands over to another one while activities run, wait, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host, until
from support.hubs import HubFactory, sqlite_hub

from func_py.durable.engine import EngineOptions

Orchestration = Generator[Any, Any, Any]


def two(context: Any) -> Orchestration:
    return (
        yield context.task_all(
            [context.call_activity("work", "one"), context.call_activity("work", "two")]
        )
    )


class Work:
    """Activities that end when they are allowed to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun: list[str] = []

    async def __call__(self, name: str) -> str:
        self.begun.append(name)
        await self.may_end.wait()
        return f"{name} done"


@pytest.fixture
def hub_factory(tmp_path: Path) -> HubFactory:
    return lambda: sqlite_hub(tmp_path)


def host(hub_factory: HubFactory, work: Work, **more: Any) -> Host:
    options = EngineOptions(max_activities=1)
    return Host(hub_factory(), {"two": two}, {"work": work}, options=options, **more)


async def begun(work: Work, count: int) -> None:
    async def enough() -> bool:
        return len(work.begun) >= count

    await until(enough, f"{count} calls to have begun")


async def test_what_runs_is_finished_here_and_what_waits_goes_along(
    hub_factory: HubFactory,
) -> None:
    here, there = Work(), Work()
    there.may_end.set()
    async with host(hub_factory, here) as old:
        instance_id = await old.client.start("two")
        await begun(here, 1)

        await old.engine.hand_over()
        async with host(hub_factory, there) as heir:
            await begun(there, 1)
            here.may_end.set()
            state = await heir.wait_for(instance_id)

    assert state.output == '["one done", "two done"]'
    assert sorted([*here.begun, *there.begun]) == ["one", "two"]


async def test_what_is_cut_off_runs_again_with_the_heir(hub_factory: HubFactory) -> None:
    here, there = Work(), Work()
    there.may_end.set()
    async with host(hub_factory, here) as old:
        instance_id = await old.client.start("two")
        await begun(here, 1)
        await old.engine.hand_over()
        heir = host(hub_factory, there)
        await heir.__aenter__()
        await begun(there, 1)
        await old.engine.stop(0)
    try:
        state = await heir.wait_for(instance_id)
    finally:
        await heir.__aexit__(None, None, None)

    assert state.output == '["one done", "two done"]'
    assert sorted(there.begun) == ["one", "two"]

"""maxConcurrentOrchestratorFunctions: how many orchestrations of a host are at a turn at once."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from support.engine import Host, until

from func_py.durable.engine import EngineOptions
from func_py.durable.model import RuntimeStatus
from func_py.durable.storage.base import Committed, Loaded, Lost, Turn
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect

INSTANCES = 40


def two_steps(context: Any) -> Generator[Any, Any, Any]:
    first = yield context.call_activity("double", 1)
    second = yield context.call_activity("double", first)
    return second


def wait_for_go(context: Any) -> Generator[Any, Any, Any]:
    yield context.wait_for_external_event("go")
    return "gone"


def count(context: Any) -> None:
    context.set_state((context.get_state(lambda: 0)) + 1)


class WatchedHub(SqlTaskHub):
    """Knows how many orchestrations are being loaded or committed, and were at most."""

    def __init__(self, directory: Path) -> None:
        super().__init__(SqliteDialect(directory, "TestHub"), "TestHub", 4)
        self.most = 0
        self.stored = asyncio.Event()
        self.stored.set()
        self._now = 0

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """See `TaskHub`; while `stored` is clear, orchestrations wait."""
        orchestrations = [t for t in turns if not t.state.instance_id.startswith("@")]
        self._enter(len(orchestrations))
        try:
            if orchestrations:
                await self.stored.wait()
            return await super().commit(turns)
        finally:
            self._now -= len(orchestrations)

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """See `TaskHub`."""
        if instance_id.startswith("@") or not history:
            return await super().load(instance_id, history=history)
        self._enter(1)
        try:
            return await super().load(instance_id, history=history)
        finally:
            self._now -= 1

    def _enter(self, count: int) -> None:
        self._now += count
        self.most = max(self.most, self._now)


def host_on(directory: Path, limit: int | None) -> Host:
    return Host(
        WatchedHub(directory),
        {"two_steps": two_steps, "wait_for_go": wait_for_go},
        {"double": lambda n: 2 * n},
        entities={"count": count},
        options=EngineOptions(max_orchestrators=limit),
    )


def watched(host: Host) -> WatchedHub:
    assert isinstance(host.hub, WatchedHub)
    return host.hub


async def most_of_many(directory: Path, limit: int | None) -> int:
    async with host_on(directory, limit) as host:
        states = await asyncio.gather(*(host.run("two_steps") for _ in range(INSTANCES)))
        assert {state.output for state in states} == {"4"}
        return watched(host).most


async def test_no_more_orchestrations_than_the_limit_are_at_a_turn(tmp_path: Path) -> None:
    assert await most_of_many(tmp_path, 2) == 2


async def test_one_turn_at_a_time_lets_every_partition_go_on(tmp_path: Path) -> None:
    assert await most_of_many(tmp_path, 1) == 1


async def test_without_a_limit_turns_are_committed_together(tmp_path: Path) -> None:
    assert await most_of_many(tmp_path, None) > 2


async def test_replays_count_as_turns(tmp_path: Path) -> None:
    async with host_on(tmp_path, None) as host:
        waiting = [await host.client.start("wait_for_go") for _ in range(INSTANCES)]
        for instance_id in waiting:
            await host.wait_for(instance_id, RuntimeStatus.RUNNING)

    async with host_on(tmp_path, 2) as host:
        await asyncio.gather(*(host.client.raise_event(i, "go", None) for i in waiting))
        for instance_id in waiting:
            assert (await host.wait_for(instance_id)).output == '"gone"'
        assert watched(host).most == 2


async def test_entities_pass_by_orchestrations_that_wait_for_a_place(tmp_path: Path) -> None:
    async with host_on(tmp_path, 1) as host:
        watched(host).stored.clear()
        waiting = [await host.client.start("wait_for_go") for _ in range(INSTANCES)]
        keys = [str(n) for n in range(8)]
        for key in keys:
            await host.client.signal_entity("count", key, "add", None)

        async def counted() -> bool:
            states = [await host.client.read_entity("count", key) for key in keys]
            return all(state is not None and state.state == "1" for state in states)

        await until(counted, "the entities of all partitions to have a turn")
        watched(host).stored.set()
        for instance_id in waiting:
            await host.wait_for(instance_id, RuntimeStatus.RUNNING)


async def test_a_host_can_end_while_orchestrations_wait_for_a_place(tmp_path: Path) -> None:
    async with host_on(tmp_path, 1) as host:
        watched(host).stored.clear()
        waiting = [await host.client.start("two_steps") for _ in range(INSTANCES)]
        asyncio.get_running_loop().call_soon(watched(host).stored.set)

    async with host_on(tmp_path, None) as host:
        for instance_id in waiting:
            state = await host.wait_for(instance_id)
            assert state.output == "4"

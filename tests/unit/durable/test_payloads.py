"""Large payloads are not held in memory while they wait."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from support.durable_values import NOON
from support.engine import Host, until
from support.hubs import sqlite_hub

from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    EntityState,
    ExecutionStarted,
    OrchestratorStarted,
    RuntimeStatus,
)
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import Lease, Mail
from func_py.durable.storage.registry import DEFAULT_PAYLOAD_LIMIT
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect
from func_py.errors import StorageUnavailable

COUNT = 40
SIZE = 200_000
TOTAL = COUNT * SIZE
LARGE = "x" * (DEFAULT_PAYLOAD_LIMIT + 1)

FEW = EngineOptions(max_activities=2, max_payloads=2)


def measure(context: Any) -> Generator[Any, Any, Any]:
    return len(context.get_input())
    yield


def measure_many(context: Any) -> Generator[Any, Any, Any]:
    sizes = [SIZE + number for number in range(COUNT)]
    calls = [context.call_activity("measure", "x" * size) for size in sizes]
    return (yield context.task_all(calls)) == sizes


def measure_events(context: Any) -> Generator[Any, Any, Any]:
    sizes = []
    for _ in range(context.get_input()):
        text = yield context.wait_for_external_event("data")
        sizes.append(len(text))
    return sizes


def wait_for_go(context: Any) -> Generator[Any, Any, Any]:
    yield context.wait_for_external_event("go")
    return "gone"


def add(context: Any) -> None:
    context.set_state([*context.get_state(list), len(context.get_input())])


def host_on(directory: Path, hub: SqlTaskHub | None = None, **activities: Any) -> Host:
    return Host(
        hub or sqlite_hub(directory),
        {each.__name__: each for each in (measure, measure_many, measure_events, wait_for_go)},
        {"measure": len, **activities},
        entities={"add": add},
        options=FEW,
    )


def text_of(size: int) -> str:
    return json.dumps("x" * size)


async def standing_still(directory: Path) -> Host:
    """A host that runs nothing; what its client sends waits for the next one."""
    host = await host_on(directory).__aenter__()
    await host.engine.hand_over()
    return host


@pytest.fixture
def peak() -> Generator[Any]:
    """Measures the memory of Python objects, from now on."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


async def test_starts_that_wait_do_not_fill_the_memory(tmp_path: Path, peak: Any) -> None:
    client = await standing_still(tmp_path)
    started = [
        await client.client.start("measure", input=text_of(SIZE + number))
        for number in range(COUNT)
    ]
    tracemalloc.reset_peak()
    async with host_on(tmp_path) as host:
        outputs = [(await host.wait_for(instance_id)).output for instance_id in started]
    assert outputs == [str(SIZE + number) for number in range(COUNT)]
    assert peak() < TOTAL / 2
    await client.hub.close()


async def test_operations_that_wait_do_not_fill_the_memory(tmp_path: Path, peak: Any) -> None:
    client = await standing_still(tmp_path)
    for number in range(COUNT):
        await client.client.signal_entity("add", "k", "add", text_of(SIZE + number))
    tracemalloc.reset_peak()
    async with host_on(tmp_path) as host:

        async def all_added() -> EntityState | None:
            entity = await host.client.read_entity("add", "k")
            return entity if entity is not None and entity.state == expected else None

        expected = json.dumps([SIZE + number for number in range(COUNT)])
        await until(all_added, "all operations")
    assert peak() < TOTAL / 2
    await client.hub.close()


async def test_calls_that_wait_do_not_fill_the_memory(tmp_path: Path, peak: Any) -> None:
    held = []

    def measure(text: str) -> int:
        held.append(tracemalloc.get_traced_memory()[0])
        return len(text)

    async with host_on(tmp_path, measure=measure) as host:
        host.activities.keeps_calls = False
        assert (await host.run("measure_many")).output == "true"
    assert held[COUNT // 2] < TOTAL / 2


def test_what_has_been_asked_for_keeps_no_inputs() -> None:
    """A wide fan-out waits for its results, not with its inputs."""

    def ask(context: Any) -> Generator[Any, Any, Any]:
        entity = df.EntityId("add", "k")
        yield context.task_all(
            [
                task
                for number in range(20)
                for task in (
                    context.call_activity("a", number * SIZE // 20 * "x"),
                    context.call_sub_orchestrator("b", number * SIZE // 20 * "x"),
                    context.call_entity(entity, "c", number * SIZE // 20 * "x"),
                )
            ]
        )

    session = Session(ask, "one")
    started = ExecutionStarted(timestamp=NOON, name="ask", execution_id="e")
    tracemalloc.start()
    try:
        session.feed([OrchestratorStarted(timestamp=NOON), started], played=False)
        asked = len(session.take_decisions())
        assert tracemalloc.get_traced_memory()[0] < SIZE
        assert tracemalloc.get_traced_memory()[1] > 20 * SIZE
    finally:
        tracemalloc.stop()
    assert asked == 60


async def test_the_next_host_runs_calls_with_their_large_inputs(tmp_path: Path) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def stop_here(text: str) -> None:
        reached.set()
        await never.wait()

    hub = SqlTaskHub(SqliteDialect(tmp_path, "TestHub"), "TestHub", 4)
    first = await host_on(tmp_path, hub, measure=stop_here).__aenter__()
    instance_id = await first.client.start("measure_many")
    await reached.wait()
    await hub.die()
    async with host_on(tmp_path) as second:
        assert (await second.wait_for(instance_id)).output == "true"
    await first.engine.stop(0)
    await first.http.close()


async def test_large_events_keep_their_place_among_small_ones(tmp_path: Path) -> None:
    sizes = [1, len(LARGE), 2, 3, len(LARGE) + 1, len(LARGE) + 2, 4]
    async with host_on(tmp_path) as host:
        instance_id = await host.client.start("measure_events", input=str(len(sizes)))
        await asyncio.gather(
            *(host.client.raise_event(instance_id, "data", text_of(size)) for size in sizes)
        )
        state = await host.wait_for(instance_id)
    assert state.output == json.dumps(sizes)


async def test_a_start_with_a_large_input_can_be_terminated(tmp_path: Path) -> None:
    client = await standing_still(tmp_path)
    instance_id = await client.client.start("measure", input=text_of(SIZE))
    await client.client.terminate(instance_id, "enough")
    async with host_on(tmp_path) as host:
        state = await host.wait_for(instance_id)
        assert (state.status, state.output) == (RuntimeStatus.TERMINATED, "enough")
        assert state.input == text_of(SIZE)
    await client.hub.close()


async def test_an_unknown_orchestrator_with_a_large_input_fails(tmp_path: Path) -> None:
    client = await standing_still(tmp_path)
    instance_id = await client.client.start("measure", input=text_of(SIZE))
    await client.hub.close()
    async with Host(sqlite_hub(tmp_path), {"wait_for_go": wait_for_go}) as host:
        state = await host.wait_for(instance_id)
    assert state.status is RuntimeStatus.FAILED
    assert state.failure is not None
    assert state.failure.type == "FunctionNotRegistered"


class TroubledHub(SqlTaskHub):
    """The first time that a message is read the store is away; of some it has nothing."""

    def __init__(self, directory: Path) -> None:
        super().__init__(SqliteDialect(directory, "TestHub"), "TestHub", 4, timedelta(seconds=1))
        self.was_asked = False
        self.gone = ""

    async def read_mail(self, lease: Lease, message_id: str) -> Mail | None:
        """See `TaskHub`."""
        if not self.was_asked:
            self.was_asked = True
            raise StorageUnavailable("away")
        mail = await super().read_mail(lease, message_id)
        assert mail is not None
        event = mail.message.event
        return None if self.gone and self.gone in str(event) else mail


async def test_a_large_event_waits_for_a_store_that_is_away(tmp_path: Path) -> None:
    hub = TroubledHub(tmp_path)
    async with host_on(tmp_path, hub) as host:
        instance_id = await host.client.start("measure_events", input="1")
        await host.client.raise_event(instance_id, "data", text_of(SIZE))
        assert (await host.wait_for(instance_id)).output == f"[{SIZE}]"
    assert hub.was_asked


async def test_a_large_event_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    hub = TroubledHub(tmp_path)
    hub.gone = "y" * SIZE
    async with host_on(tmp_path, hub) as host:
        instance_id = await host.client.start("measure_events", input="1")
        await host.client.raise_event(instance_id, "data", f'"{hub.gone}"')
        await host.client.raise_event(instance_id, "data", text_of(SIZE + 1))
        assert (await host.wait_for(instance_id)).output == f"[{SIZE + 1}]"

"""A host dies, or is robbed of its partitions, and the next one goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.troubled_hub import troubled
from support.engine import Host, until
from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.client import DurableClient
from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    EventRaised,
    RuntimeStatus,
    TaskCompleted,
    TaskScheduled,
    TimerFired,
)
from func_py.durable.storage.base import REUSE_ANY, HostRecord
from func_py.durable.storage.sql.hub import SqlTaskHub

pytestmark = pytest.mark.faults

Orchestration = Generator[Any, Any, Any]


def ticks(context: Any) -> Orchestration:
    """Two events."""
    first = yield context.wait_for_external_event("Tick")
    return [first, (yield context.wait_for_external_event("Tick"))]


def waits(context: Any) -> Orchestration:
    """One activity that takes until the test lets it go."""
    return (yield context.call_activity("gate", context.get_input()))


def nap(context: Any) -> Orchestration:
    """A timer."""
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    return "rested"


ORCHESTRATORS: dict[str, Callable[[Any], Any]] = {f.__name__: f for f in (ticks, waits, nap)}


def make_host(directory: Path, gate: asyncio.Event | None = None, **more: Any) -> Host:
    async def pass_gate(value: Any) -> Any:
        if gate is not None:
            await gate.wait()
        return value

    return Host(sqlite_hub(directory), ORCHESTRATORS, {"gate": pass_gate}, **more)


@asynccontextmanager
async def dying(host: Host) -> AsyncIterator[Host]:
    """A host that at the exit dies as a killed process would, before it can give anything back."""
    await host.__aenter__()
    try:
        yield host
    finally:
        assert isinstance(host.hub, SqlTaskHub)
        await host.hub.die()
        await host.engine.stop(0)


def change(directory: Path, sql: str) -> None:
    """Change the hub's file behind the back of its hosts."""
    with closing(sqlite3.connect(directory / "TestHub.db")) as connection, connection:
        connection.execute(sql)


def rows(directory: Path, sql: str) -> Sequence[tuple[Any, ...]]:
    """Read the hub's file."""
    with closing(sqlite3.connect(directory / "TestHub.db")) as connection:
        return connection.execute(sql).fetchall()


async def test_the_next_host_goes_on_where_a_dead_one_stood(tmp_path: Path) -> None:
    async with dying(make_host(tmp_path)) as first:
        ids = [await first.client.start("ticks") for _ in range(8)]
        for instance_id in ids:
            await first.client.raise_event(instance_id, "Tick", "1")
    async with make_host(tmp_path) as second:
        for instance_id in ids:
            await second.client.raise_event(instance_id, "Tick", "2")
        states = [await second.wait_for(instance_id) for instance_id in ids]

    assert [state.output for state in states] == ["[1, 2]"] * 8


async def test_a_host_takes_over_from_one_that_dies_beside_it(tmp_path: Path) -> None:
    async with dying(make_host(tmp_path)) as first:
        ids = [await first.client.start("ticks") for _ in range(8)]
        for instance_id in ids:
            await first.wait_for(instance_id, RuntimeStatus.RUNNING)
        second = make_host(tmp_path)
        await second.__aenter__()
        await until(lambda: is_true(lambda: len(second.engine.partitions) == 2), "its share")
    try:
        for instance_id in ids:
            await second.client.raise_event(instance_id, "Tick", "1")
            await second.client.raise_event(instance_id, "Tick", "2")
        states = [await second.wait_for(instance_id) for instance_id in ids]
        assert second.engine.partitions == [0, 1, 2, 3]
    finally:
        await second.__aexit__(None, None, None)

    assert [state.output for state in states] == ["[1, 2]"] * 8


async def test_activities_of_a_dead_host_run_again_as_a_further_attempt(tmp_path: Path) -> None:
    async with dying(make_host(tmp_path, asyncio.Event())) as first:
        instance_id = await first.client.start("waits", input='"x"')
        await until(lambda: is_true(lambda: len(first.activities.calls) == 1), "the call")
    async with make_host(tmp_path) as second:
        state = await second.wait_for(instance_id)
        history = await second.client.history(instance_id)

    assert [call.attempt for call in first.activities.calls] == [1]
    assert [call.attempt for call in second.activities.calls] == [2]
    assert state.output == '"x"'
    assert len([e for e in history if isinstance(e, TaskScheduled)]) == 1
    assert len([e for e in history if isinstance(e, TaskCompleted)]) == 1


async def test_an_engine_that_lost_its_partitions_changes_nothing(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with make_host(tmp_path, clock=clock) as host:
        instance_id = await host.client.start("nap")
        await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        robber = sqlite_hub(tmp_path)
        await robber.open(HostRecord(host_id="robber", started_at=clock.now()))
        # At once: the engine, which knows of the other host, would take what nobody holds.
        change(tmp_path, "update partitions set holder = 'robber', epoch = epoch + 1")

        # The timer is due by a clock of whoever does not know yet.
        clock.advance(timedelta(minutes=1))
        await until(lambda: is_true(lambda: host.engine.partitions == []), "the fence")
        history = await host.client.history(instance_id)
        assert not [e for e in history if isinstance(e, TimerFired)]

        await robber.close()
        state = await host.wait_for(instance_id)
        history = await host.client.history(instance_id)

    assert state.output == '"rested"'
    assert len([e for e in history if isinstance(e, TimerFired)]) == 1


async def test_a_batch_of_fenced_turns_leaves_no_activity_behind(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with make_host(tmp_path, gate) as host:
        ids = [await host.client.start("waits", input=str(number)) for number in range(12)]
        await until(lambda: is_true(lambda: len(host.activities.calls) == 12), "the calls")
        # Every turn that takes a result is refused; the same host gets the partitions again.
        change(tmp_path, "update partitions set holder = null")
        gate.set()
        states = [await host.wait_for(instance_id) for instance_id in ids]
        histories = [await host.client.history(instance_id) for instance_id in ids]

    assert [state.output for state in states] == [str(number) for number in range(12)]
    # The calls were ours all the time, and so their results count.
    assert [call.attempt for call in host.activities.calls] == [1] * 12
    for history in histories:
        assert len([e for e in history if isinstance(e, TaskCompleted)]) == 1


async def test_memory_that_disagrees_with_the_store_is_read_again(tmp_path: Path) -> None:
    hub, trouble = troubled(sqlite_hub(tmp_path))
    async with Host(hub, ORCHESTRATORS, {}) as host:
        ids = [await host.client.start("ticks") for _ in range(8)]
        for instance_id in ids:
            await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        gone = ids[0]
        # Somebody deletes the event between its delivery and the commit of the turn that takes it.
        trouble.before_commit = lambda: change(
            tmp_path, "delete from messages where event like '%never seen%'"
        )
        await host.client.raise_event(gone, "Tick", '"never seen"')
        for instance_id in ids:
            await host.client.raise_event(instance_id, "Tick", "1")
            await host.client.raise_event(instance_id, "Tick", "2")
        states = [await host.wait_for(instance_id) for instance_id in ids]
        history = await host.client.history(gone)

    assert [state.output for state in states] == ["[1, 2]"] * 8
    assert [e.input for e in history if isinstance(e, EventRaised)] == ["1", "2"]
    assert rows(tmp_path, "select * from messages") == []


async def test_an_old_start_that_comes_again_takes_nothing_from_the_inbox(tmp_path: Path) -> None:
    hub, trouble = troubled(sqlite_hub(tmp_path))
    # No session is kept: the event finds the instance not loaded, the start finds it loading.
    options = EngineOptions(session_bytes=0)
    async with Host(hub, ORCHESTRATORS, {}, options=options) as host:
        instance_id = await host.client.start("ticks")
        await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        trouble.starts_again = True
        await host.client.raise_event(instance_id, "Tick", "1")
        await host.client.raise_event(instance_id, "Tick", "2")
        state = await host.wait_for(instance_id)

    assert state.output == "[1, 2]"


async def test_an_instance_replaced_at_any_moment_leaves_no_trace_in_the_next_one(
    tmp_path: Path,
) -> None:
    ids = [f"same-{number}" for number in range(16)]
    options = EngineOptions(session_bytes=0)
    async with make_host(tmp_path, options=options) as host:
        client = DurableClient(host.hub, host.clock, reusable=REUSE_ANY)
        for instance_id in ids:
            await client.start("ticks", instance_id=instance_id)
        for instance_id in ids:
            await client.raise_event(instance_id, "Tick", '"old"')
            await client.start("waits", instance_id=instance_id, input="7")
        states = [await host.wait_for(instance_id) for instance_id in ids]
        histories = [await client.history(instance_id) for instance_id in ids]

        async def nothing_left() -> bool:
            return not rows(tmp_path, "select 1 from messages union select 1 from activities")

        await until(nothing_left, "stray mail to be deleted")

    assert [(state.name, state.output) for state in states] == [("waits", "7")] * 16
    for history in histories:
        assert not [e for e in history if isinstance(e, EventRaised)]


async def test_an_instance_replaced_while_it_is_loaded_is_loaded_again(tmp_path: Path) -> None:
    hub, trouble = troubled(sqlite_hub(tmp_path))
    options = EngineOptions(session_bytes=0)
    async with Host(hub, ORCHESTRATORS, {"gate": lambda value: value}, options=options) as host:
        client = DurableClient(hub, host.clock, reusable=REUSE_ANY)
        await client.start("ticks", instance_id="same")
        await host.wait_for("same", RuntimeStatus.RUNNING)

        async def replace() -> None:
            await client.start("waits", instance_id="same", input="7")
            for _ in range(10):  # the start message reaches the engine
                await asyncio.sleep(0)

        trouble.after_load = replace
        await client.raise_event("same", "Tick", "1")
        await until(lambda: is_true(lambda: trouble.after_load is None), "the load")
        state = await host.wait_for("same")

    assert (state.name, state.output) == ("waits", "7")


async def is_true(check: Callable[[], bool]) -> bool:
    return check()

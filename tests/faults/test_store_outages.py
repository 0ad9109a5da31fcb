"""The store goes away for a while: nothing is lost, nothing is done twice, it is said once."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.troubled_hub import TroubledHub, troubled
from support.engine import Host, until
from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.engine import EngineOptions
from func_py.durable.model import (
    HistoryEvent,
    RuntimeStatus,
    TaskCompleted,
    TaskScheduled,
    TimerFired,
    partition_of,
)

pytestmark = pytest.mark.faults

Orchestration = Generator[Any, Any, Any]

UPKEEP = timedelta(seconds=5)


def steps(context: Any) -> Orchestration:
    """An activity, a timer, an activity."""
    first = yield context.call_activity("count", 1)
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=1))
    return [first, (yield context.call_activity("count", 2))]


def ticks(context: Any) -> Orchestration:
    """Two events."""
    first = yield context.wait_for_external_event("Tick")
    return [first, (yield context.wait_for_external_event("Tick"))]


def nap(context: Any) -> Orchestration:
    """A timer beyond what the owner holds in memory at first."""
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=6))
    return "rested"


ORCHESTRATORS: dict[str, Callable[[Any], Any]] = {f.__name__: f for f in (steps, ticks, nap)}
ACTIVITIES: dict[str, Callable[[Any], Any]] = {"count": lambda n: n}


def make_host(directory: Path, **more: Any) -> tuple[Host, TroubledHub]:
    hub, trouble = troubled(sqlite_hub(directory))
    return Host(hub, ORCHESTRATORS, ACTIVITIES, **more), trouble


def change(directory: Path, sql: str, *values: object) -> None:
    """Change the hub's file behind the back of its hosts."""
    with closing(sqlite3.connect(directory / "TestHub.db")) as connection, connection:
        connection.execute(sql, values)


def task_ids(history: list[HistoryEvent], kind: type[TaskScheduled | TaskCompleted]) -> list[int]:
    return [event.task_id for event in history if isinstance(event, kind)]


async def test_work_goes_on_after_an_outage_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    host, trouble = make_host(tmp_path)
    async with host:
        ids = [await host.client.start("steps") for _ in range(20)]
        trouble.is_away = True

        async def many_refusals() -> bool:
            return trouble.refused["commit"] + trouble.refused["load"] >= 8

        await until(many_refusals, "turns to be refused")
        trouble.is_away = False
        states = [await host.wait_for(instance_id) for instance_id in ids]
        histories = [list(await host.client.history(instance_id)) for instance_id in ids]

    assert [state.output for state in states] == ["[1, 2]"] * 20
    for history in histories:
        assert task_ids(history, TaskScheduled) == task_ids(history, TaskCompleted) == [0, 2]
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "does not answer" in text]) == 1
    assert len([text for text in texts if "answers again" in text]) == 1
    assert not [text for text in texts if "is dropped" in text]


async def test_the_pause_does_not_grow_with_the_number_of_instances(tmp_path: Path) -> None:
    clock = VirtualClock()
    host, trouble = make_host(tmp_path, clock=clock)
    async with host:
        ids = [await host.client.start("ticks") for _ in range(40)]
        for instance_id in ids:
            await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        refused = trouble.refused["commit"]
        trouble.refusals["commit"] = 4
        for instance_id in ids:
            await host.client.raise_event(instance_id, "Tick", "1")
            await host.client.raise_event(instance_id, "Tick", "2")

        async def all_refused() -> bool:
            return trouble.refused["commit"] >= refused + 4

        await until(all_refused, "every partition to be refused a commit")
        clock.advance(timedelta(seconds=2))
        states = [await host.wait_for(instance_id) for instance_id in ids]

    assert {state.output for state in states} == {"[1, 2]"}


@pytest.mark.parametrize("number", range(1, 6))
async def test_a_commit_that_was_not_answered_is_not_repeated_and_its_effects_happen(
    tmp_path: Path, number: int
) -> None:
    host, trouble = make_host(tmp_path)
    trouble.unanswered.add(number)
    async with host:
        state = await host.run("steps")
        history = list(await host.client.history(state.instance_id))

    assert trouble.commits >= 4
    assert state.output == "[1, 2]"
    assert task_ids(history, TaskScheduled) == task_ids(history, TaskCompleted) == [0, 2]
    assert len([e for e in history if isinstance(e, TimerFired)]) == 1


@pytest.mark.parametrize("verb", ["acquire", "hosts", "recover", "release"])
async def test_a_partition_is_had_again_although_the_store_fails_on_the_way(
    tmp_path: Path, verb: str
) -> None:
    clock = VirtualClock()
    host, trouble = make_host(tmp_path, clock=clock)
    async with host:
        instance_id = await host.client.start("ticks")
        await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        trouble.refusals[verb] = 1
        # The turn finds out that memory and store disagree, and everything is read again.
        trouble.before_commit = lambda: change(tmp_path, "delete from messages")
        await host.client.raise_event(instance_id, "Tick", '"deleted"')

        async def refused() -> bool:
            clock.advance(UPKEEP)
            return trouble.refused[verb] == 1

        await until(refused, "the call to be refused")
        await host.client.raise_event(instance_id, "Tick", "1")
        await host.client.raise_event(instance_id, "Tick", "2")

        async def has_ended() -> bool:
            clock.advance(UPKEEP)
            state = await host.client.get(instance_id)
            return state is not None and state.status.is_terminal

        await until(has_ended, "the instance to go on")
        state = await host.wait_for(instance_id)

        assert host.engine.partitions == [0, 1, 2, 3]

    assert state.output == "[1, 2]"


async def test_timers_are_not_forgotten_when_they_cannot_be_read(tmp_path: Path) -> None:
    clock = VirtualClock()
    host, trouble = make_host(tmp_path, clock=clock)
    async with host:
        instance_id = await host.client.start("nap")
        await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        trouble.refusals["timers"] = 10_000
        clock.advance(timedelta(minutes=5))

        async def refused() -> bool:
            clock.advance(UPKEEP)
            return trouble.refused["timers"] > 0

        await until(refused, "the timers to be asked for")
        trouble.refusals["timers"] = 0

        async def has_ended() -> bool:
            clock.advance(UPKEEP)
            state = await host.client.get(instance_id)
            return state is not None and state.status.is_terminal

        await until(has_ended, "the timer to fire")
        state = await host.wait_for(instance_id)

    assert state.output == '"rested"'


async def test_an_unknown_activity_waits_while_the_hosts_cannot_be_asked(tmp_path: Path) -> None:
    clock = VirtualClock()
    host, trouble = make_host(tmp_path, clock=clock)
    host.activities.functions.pop("count")
    async with host:
        trouble.refusals["hosts"] = 1
        instance_id = await host.client.start("steps")

        async def refused() -> bool:
            return trouble.refused["hosts"] == 1

        await until(refused, "the hosts to be asked for")

        async def has_ended() -> bool:
            clock.advance(UPKEEP)
            state = await host.client.get(instance_id)
            return state is not None and state.status.is_terminal

        await until(has_ended, "the call to fail")
        state = await host.wait_for(instance_id)

    assert "The function 'count' doesn't exist" in (state.output or "")


async def test_a_host_stops_although_the_store_is_away(tmp_path: Path) -> None:
    host, trouble = make_host(tmp_path)
    async with host:
        instance_id = await host.client.start("ticks")
        await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        trouble.is_away = True
    host, _ = make_host(tmp_path)
    async with host:
        await host.client.raise_event(instance_id, "Tick", "1")
        await host.client.raise_event(instance_id, "Tick", "2")
        state = await host.wait_for(instance_id)

    assert state.output == "[1, 2]"


@pytest.mark.parametrize("recursive", [False, True])
async def test_a_damaged_history_stops_its_instance_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recursive: bool
) -> None:
    damaged = "damaged"
    neighbour = next(
        name
        for name in (f"neighbour-{number}" for number in range(100))
        if partition_of(name, 4) == partition_of(damaged, 4)
    )
    # No session is kept: every turn reads the history.
    host, _ = make_host(tmp_path, options=EngineOptions(session_bytes=0))
    async with host:
        for instance_id in (damaged, neighbour):
            await host.client.start("ticks", instance_id=instance_id)
            await host.wait_for(instance_id, RuntimeStatus.RUNNING)
        change(
            tmp_path,
            "update history set body = '[{}]' "
            "where number = (select number from instances where instance_id = ?)",
            damaged,
        )
        for instance_id in (damaged, neighbour):
            await host.client.raise_event(instance_id, "Tick", "1")
            await host.client.raise_event(instance_id, "Tick", "2")
        state = await host.wait_for(neighbour)

        async def reported() -> bool:
            return "Instance 'damaged' cannot be loaded" in caplog.text

        await until(reported, "the damage to be reported")
        await host.client.terminate(damaged, "beyond repair", recursive=recursive)
        ended = await host.wait_for(damaged)

    assert state.output == "[1, 2]"
    assert ended.status is RuntimeStatus.TERMINATED


async def test_a_damaged_history_cannot_be_rewound_and_harms_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(context: Any) -> None:
        raise ValueError("at once")

    host = Host(sqlite_hub(tmp_path), {"fails": fails})
    async with host:
        state = await host.run("fails")
        change(tmp_path, "update history set body = '[{}]'")
        await host.client.rewind(state.instance_id, None)

        async def reported() -> bool:
            return "cannot be rewound" in caplog.text

        await until(reported, "the damage to be reported")
        after = await host.client.get(state.instance_id)

        async def forgotten() -> bool:
            with closing(sqlite3.connect(tmp_path / "TestHub.db")) as connection:
                (left,) = connection.execute("select count(*) from messages").fetchone()
            return bool(left == 0)

        await until(forgotten, "the request to be deleted")

    assert after == state
    assert "is dropped" not in caplog.text

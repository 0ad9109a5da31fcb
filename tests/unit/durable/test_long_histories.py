"""Histories that are longer than a page: replayed and shown without being held as a whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance.harness import World
from support.durable_values import NOON
from support.engine import Host
from support.hubs import sqlite_hub
from support.sqlite_harness import SqliteHarness

from func_py.durable.engine.loader import closed_turns
from func_py.durable.model import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    RuntimeStatus,
    TaskCompleted,
    TaskScheduled,
)
from func_py.durable.storage.base import HistoryPage, Position
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect
from func_py.errors import HistoryChanged
from func_py.management.projection import shown_history

MB = 1024 * 1024
STEPS = 4_000
RESULT_CHARACTERS = 10_000
HISTORY_BYTES = STEPS * RESULT_CHARACTERS
FEW_BYTES = 16 * MB
"""A page as text, as events and on the way between; a live execution. Well below the history."""


def long_chain(context: Any) -> Generator[Any, Any, Any]:
    for number in range(STEPS):
        yield context.call_activity("step", number)
    return (yield context.wait_for_external_event("go"))


def long_history(start: ExecutionStarted) -> Iterator[list[HistoryEvent]]:
    """What `long_chain` leaves when it has reached its wait, in four parts."""
    time = start.timestamp
    events: list[HistoryEvent] = [OrchestratorStarted(timestamp=time), start]
    result = '"' + "x" * RESULT_CHARACTERS + '"'
    for number in range(STEPS):
        events += [
            TaskScheduled(timestamp=time, task_id=number, name="step", input=str(number)),
            OrchestratorCompleted(timestamp=time),
            OrchestratorStarted(timestamp=time),
            TaskCompleted(timestamp=time, task_id=number, result=result),
        ]
        if (number + 1) % (STEPS // 4) == 0 and number + 1 < STEPS:
            yield events
            events = []
    yield [*events, OrchestratorCompleted(timestamp=time)]


@pytest.fixture
async def waiting(tmp_path: Path) -> str:
    """An instance that waits at the end of a long history; no host has its hub open."""
    world = World(SqliteHarness(tmp_path))
    owner = await world.owner()
    instance = await owner.create("long")
    event = instance.start.event
    assert isinstance(event, ExecutionStarted)
    consumed = [instance.start.id]
    for events in long_history(event):
        instance = await owner.step(instance, events=events, consumed=consumed)
        consumed = []
    await world.close()
    return "long"


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    """What is allocated meanwhile never weighs more than that."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


async def test_a_long_history_is_replayed_page_by_page(tmp_path: Path, waiting: str) -> None:
    with peak_below(FEW_BYTES):
        async with Host(sqlite_hub(tmp_path), {"Greet": long_chain}) as host:
            await host.client.raise_event(waiting, "go", "7")
            state = await host.wait_for(waiting)

    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "7")
    assert FEW_BYTES < HISTORY_BYTES / 2


async def test_a_long_history_is_shown_page_by_page(tmp_path: Path, waiting: str) -> None:
    async with Host(sqlite_hub(tmp_path), {}) as host:
        with peak_below(FEW_BYTES):
            entries = await shown_history(host.client, waiting, show_input=False, show_output=False)

    assert len(entries) == 1 + STEPS
    assert {entry["EventType"] for entry in entries[1:]} == {"TaskCompleted"}


class ChangingHub(SqlTaskHub):
    """Says once that a history changed, when it is asked for the second page."""

    has_changed = False

    async def read_history(self, instance_id: str, after: Position | None = None) -> HistoryPage:
        """See `TaskHub`."""
        if after is not None and not self.has_changed:
            self.has_changed = True
            raise HistoryChanged(instance_id)
        return await super().read_history(instance_id, after)


async def test_a_history_that_changed_while_it_was_replayed_is_replayed_anew(
    tmp_path: Path, waiting: str
) -> None:
    hub = ChangingHub(SqliteDialect(tmp_path, "TestHub"), "TestHub", 4)
    async with Host(hub, {"Greet": long_chain}) as host:
        await host.client.raise_event(waiting, "go", "7")
        state = await host.wait_for(waiting)

    assert hub.has_changed
    assert state.output == "7"


STARTED = OrchestratorStarted(timestamp=NOON)
RAISED = EventRaised(timestamp=NOON, name="go")
SCHEDULED = TaskScheduled(timestamp=NOON, task_id=0, name="step")
ENDED = OrchestratorCompleted(timestamp=NOON)


@pytest.mark.parametrize(
    ("last", "closed"),
    [
        ([], 3),
        ([STARTED], 3),
        ([STARTED, RAISED], 3),
        ([STARTED, RAISED, SCHEDULED], 6),
        ([STARTED, RAISED, SCHEDULED, ENDED], 7),
    ],
)
def test_what_code_has_left_shows_that_a_turn_has_run(
    last: list[HistoryEvent], closed: int
) -> None:
    assert closed_turns([STARTED, RAISED, ENDED, *last]) == closed

"""Context variables that an activity sets are its own: no call, no orchestrator sees them."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from support.engine import Host

from func_py.durable.engine import EngineOptions
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect

_order: ContextVar[str] = ContextVar("order", default="none")


def one_after_another(context: Any) -> Generator[Any, Any, Any]:
    seen = []
    for number in range(3):
        here = _order.get()
        there = yield context.call_activity("bind", number)
        seen += [here, there]
    return seen


def at_once(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.task_all([context.call_activity("bind", n) for n in range(5)]))


async def bind(number: int) -> str:
    """What was set before; then it sets its own, as a logging library does."""
    before = _order.get()
    _order.set(f"order {number}")
    return before


def host(folder: Path) -> Host:
    hub = SqlTaskHub(SqliteDialect(folder, "TestHub"), "TestHub", 1)
    orchestrators = {"one_after_another": one_after_another, "at_once": at_once}
    options = EngineOptions(max_activities=1)
    return Host(hub, orchestrators, {"bind": bind}, options=options)


async def test_the_next_call_and_the_orchestrator_see_nothing_of_it(tmp_path: Path) -> None:
    async with host(tmp_path) as h:
        state = await h.run("one_after_another")
    assert msgspec.json.decode(state.output or "") == ["none"] * 6


async def test_calls_that_wait_for_the_same_worker_see_nothing_of_it(tmp_path: Path) -> None:
    async with host(tmp_path) as h:
        state = await h.run("at_once")
    assert msgspec.json.decode(state.output or "") == ["none"] * 5

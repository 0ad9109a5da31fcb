"""The pool of activity workers by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.poison import Poison
from func_py.durable.model import ActivityResult, ActivityTask


class Runner:
    """Runs calls without waiting for anything."""

    async def run(self, task: ActivityTask) -> ActivityResult:
        return ActivityResult(result=task.input)

    def thread_limit(self, name: str) -> int:
        return 0


async def nowhere(name: str) -> bool:
    return False


def call(task_id: int) -> ActivityTask:
    return ActivityTask(instance_id="one", execution_id="e", task_id=task_id, name="work")


async def not_needed() -> None:
    """A host on an embedded hub is never overdue."""


async def test_a_call_queued_when_the_last_worker_has_just_ended_is_run(tmp_path: Path) -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()
    pool = ActivityPool(
        Runner(),
        1,
        lambda task, _: ended.put_nowait(task.task_id),
        nowhere,
        Poison(None, "host", 1),
        VirtualClock(),
        Heartbeat(sqlite_hub(tmp_path), not_needed, Outage()),
    )
    pool.dispatch([call(1)])
    # In the iteration of the loop in which the only worker runs, right behind it.
    asyncio.get_running_loop().call_soon(pool.dispatch, [call(2)])

    async with asyncio.timeout(5):
        assert [await ended.get(), await ended.get()] == [1, 2]

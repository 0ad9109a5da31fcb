"""The pool of activity workers by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.model import ActivityResult, ActivityTask
from func_py.durable.storage.base import TaskKey
from func_py.errors import StorageUnavailable


class Runner:
    """Runs calls without waiting for anything."""

    async def run(self, task: ActivityTask) -> ActivityResult:
        return ActivityResult(result=task.input)

    def thread_limit(self, name: str) -> int:
        return 0


async def nowhere(name: str) -> bool:
    return False


def call(task_id: int, input: str | None = None) -> ActivityTask:
    return ActivityTask(
        instance_id="one", execution_id="e", task_id=task_id, name="work", input=input
    )


class Store:
    """Has the calls given, and answers as often as it is told to with an error first."""

    def __init__(self, *calls: ActivityTask, failures: int = 0) -> None:
        self.calls = {each.task_id: each for each in calls}
        self.failures = failures
        self.asked: list[int] = []

    async def read(self, key: TaskKey) -> ActivityTask | None:
        self.asked.append(key.task_id)
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away")
        return self.calls.get(key.task_id)


Ended = asyncio.Queue[tuple[int, str | None]]


async def not_needed() -> None:
    """A host on an embedded hub is never overdue."""


def pool_of_one(
    folder: Path, store: Store, ended: Ended, clock: VirtualClock | None = None
) -> ActivityPool:
    """A pool with one worker, for which inputs of more than 3 characters are large."""
    return ActivityPool(
        Runner(),
        1,
        lambda task, result: ended.put_nowait((task.task_id, result.result)),
        nowhere,
        Poison(None, "host", 1),
        Payloads(store.read, 3, 1),
        clock or VirtualClock(),
        Heartbeat(sqlite_hub(folder), not_needed, Outage()),
    )


async def test_a_call_queued_when_the_last_worker_has_just_ended_is_run(tmp_path: Path) -> None:
    ended: Ended = asyncio.Queue()
    pool = pool_of_one(tmp_path, Store(), ended)
    pool.dispatch([call(1)])
    # In the iteration of the loop in which the only worker runs, right behind it.
    asyncio.get_running_loop().call_soon(pool.dispatch, [call(2)])

    async with asyncio.timeout(5):
        assert [await ended.get(), await ended.get()] == [(1, None), (2, None)]


async def test_a_large_input_is_read_again_for_a_call_that_had_to_wait(tmp_path: Path) -> None:
    ended: Ended = asyncio.Queue()
    calls = [call(1, "large"), call(2, "larger"), call(3, "no")]
    store = Store(*calls)
    pool_of_one(tmp_path, store, ended).dispatch(calls)

    async with asyncio.timeout(5):
        results = [await ended.get() for _ in calls]
    assert results == [(1, "large"), (2, "larger"), (3, "no")]
    assert store.asked == [2]


async def test_a_call_whose_input_is_not_stored_any_more_is_not_made(
    tmp_path: Path,
) -> None:
    ended: Ended = asyncio.Queue()
    pool = pool_of_one(tmp_path, Store(), ended)
    pool.dispatch([call(1), call(2, "large"), call(3)])

    async with asyncio.timeout(5):
        assert [await ended.get(), await ended.get()] == [(1, None), (3, None)]
    assert task_ids(pool) == [1, 3]


async def test_a_call_waits_for_a_store_that_is_away(tmp_path: Path) -> None:
    ended: Ended = asyncio.Queue()
    clock = VirtualClock()
    store = Store(call(2, "large"), failures=1)
    pool = pool_of_one(tmp_path, store, ended, clock)
    pool.dispatch([call(1), call(2, "large"), call(3)])

    async with asyncio.timeout(5):
        assert [await ended.get(), await ended.get()] == [(1, None), (3, None)]
        clock.advance(timedelta(minutes=1))
        assert await ended.get() == (2, "large")


def task_ids(pool: ActivityPool) -> list[int]:
    return sorted(key.task_id for key in pool.held)

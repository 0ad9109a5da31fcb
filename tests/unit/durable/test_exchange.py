"""What of a queue of activities is offered to other hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

from support.engine import until
from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.exchange import Exchange
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.model import ActivityResult, ActivityTask
from func_py.durable.storage.base import TaskHub

LOOK = timedelta(milliseconds=250)
WORKERS = 4


class Board:
    """The part of a hub where activities are offered; nobody else is there to claim any."""

    def __init__(self) -> None:
        self.offered: list[int] = []

    async def offer_activities(self, activities: Collection[ActivityTask]) -> None:
        """See `TaskHub.offer_activities`."""
        self.offered += [task.task_id for task in activities]

    async def claim_activities(self, names: Collection[str], limit: int) -> Sequence[ActivityTask]:
        """See `TaskHub.claim_activities`."""
        await asyncio.Event().wait()
        raise AssertionError


class Bench:
    """A pool whose calls end as the test says, and its exchange."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.board = Board()
        self.may_end = asyncio.Semaphore(0)
        outage = Outage()
        store = sqlite_hub(directory)
        self.pool = ActivityPool(
            self,
            WORKERS,
            lambda task, result: None,
            self._nowhere,
            Poison(None, "host", 1),
            Payloads(store.read_activity, None, 1),
            self.clock,
            Heartbeat(store, self._nothing, outage),
        )
        hub = cast("TaskHub", self.board)  # the only part of one that an exchange offers to
        self.exchange = Exchange(hub, self.pool, ["work"], self.clock, outage, self._nothing)

    async def run(self, task: ActivityTask) -> ActivityResult:
        """See `ActivityRunner.run`."""
        await self.may_end.acquire()
        return ActivityResult()

    def thread_limit(self, name: str) -> int:
        """See `ActivityRunner.thread_limit`."""
        return 0

    async def _nowhere(self, name: str) -> bool:
        return False

    async def _nothing(self) -> None:
        """Neither is anything renewed here, nor taken back."""

    async def queue(self, count: int) -> None:
        """So many calls are to be made, and as many as may are begun."""
        self.pool.dispatch(
            ActivityTask(instance_id="i", execution_id="e", task_id=number, name="work")
            for number in range(count)
        )
        await asyncio.sleep(0)

    async def end(self, count: int) -> None:
        """Let so many calls end."""
        wanted = self.pool.ended + count
        for _ in range(count):
            self.may_end.release()

        async def have_ended() -> bool:
            return self.pool.ended == wanted

        await until(have_ended, f"{count} calls to end")

    async def look(self) -> list[int]:
        """What is offered when it is time to look."""
        self.clock.advance(LOOK)
        for _ in range(5):  # the offer is stored by a task of its own
            await asyncio.sleep(0)
        return self.board.offered

    async def close(self) -> None:
        """The host ends."""
        await self.exchange.close(0)
        await self.pool.close(0)


async def test_what_a_host_gets_to_soon_stays_and_the_rest_is_offered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.exchange.open()
    await bench.queue(40)
    await bench.end(10)
    # At that pace 20 end until the look after next: 4 are in hand, 16 wait; 40 - 10 - 20 are left.
    assert await bench.look() == [*range(30, 40)]
    await bench.close()


async def test_calls_that_take_long_are_offered_but_for_those_in_hand(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.exchange.open()
    await bench.queue(10)
    assert await bench.look() == [*range(WORKERS, 10)]
    await bench.close()


async def test_calls_that_end_fast_are_never_offered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.exchange.open()
    await bench.queue(40)
    await bench.end(20)
    assert await bench.look() == []
    await bench.close()


async def test_nothing_is_offered_where_there_is_no_other_host(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.queue(40)
    assert await bench.look() == []
    await bench.close()

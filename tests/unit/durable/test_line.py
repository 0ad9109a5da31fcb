"""The line of activity calls before the threads of plain functions."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.hubs import sqlite_hub

from func_py.clock import VirtualClock
from func_py.durable.engine.activities import ActivityPool, task_key
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.line import LONGEST_LINE, Line
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.model import ActivityResult, ActivityTask


class OneThread:
    """Runs one call at a time; the others wait for the thread."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(1)
        self.in_hand = 0
        self.most = 0

    def thread_limit(self, name: str) -> int:
        return 1

    async def run(self, task: ActivityTask) -> ActivityResult:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        async with self.turn:
            await asyncio.sleep(0)
        self.in_hand -= 1
        return ActivityResult()


def line_after(*took_s: float) -> Line:
    """A line that so many calls have left, with a hundred of them before two threads."""
    line = Line()
    for each in took_s:
        line.join(2)
        line.leave(each)
    for _ in range(100):
        line.join(2)
    return line


def test_nobody_is_in_line_before_any_call_was_short() -> None:
    assert line_after().waiting == 0


def test_the_line_grows_with_each_short_call_up_to_a_length() -> None:
    assert line_after(0.001, 0.001, 0.001).waiting == 3
    assert line_after(*[0.001] * 200).waiting == LONGEST_LINE


def test_slow_calls_take_the_line_away() -> None:
    assert line_after(*[0.001] * 200, *[1.0] * 7).waiting == 0


def test_calls_that_have_a_thread_are_not_in_line() -> None:
    line = line_after(0.001, 0.001, 0.001)
    for _ in range(97):
        line.leave(0.001)

    assert line.waiting == 1


def test_calls_that_are_expected_count_until_they_have_come() -> None:
    line = line_after(0.001, 0.001, 0.001)
    for _ in range(99):
        line.leave(0.001)
    for _ in range(3):
        line.expect(2)
    assert line.waiting == 2
    line.arrive(2)  # one that needs no thread: what was expected is withdrawn
    assert line.waiting == 1
    line.arrive(0)
    assert line.waiting == 0


async def test_calls_that_wait_for_a_thread_leave_their_room_to_others(tmp_path: Path) -> None:
    runner = OneThread()
    left = 50
    done = asyncio.Event()

    def ended(task: ActivityTask, result: ActivityResult) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async def nowhere(name: str) -> bool:
        return False

    async def not_needed() -> None:
        """A host on an embedded hub is never overdue."""

    hub = sqlite_hub(tmp_path)
    heartbeat = Heartbeat(hub, not_needed, Outage())
    payloads = Payloads(hub.read_activity, None, 1)
    poison, clock = Poison(None, "host", 1), VirtualClock()
    pool = ActivityPool(runner, 2, ended, nowhere, poison, payloads, clock, heartbeat)
    calls = [
        ActivityTask(instance_id="one", execution_id="e", task_id=n, name="work")
        for n in range(left)
    ]
    pool.dispatch(calls)

    async with asyncio.timeout(5):
        await done.wait()
    assert 2 < runner.most <= 2 + LONGEST_LINE

    pool.release(map(task_key, calls))
    for call in calls[:20]:
        pool.dispatch([call])
    await asyncio.sleep(0)
    assert runner.in_hand == 20, "as many as have their place in line begin together"

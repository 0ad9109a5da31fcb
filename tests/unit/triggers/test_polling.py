"""Pauses between looks, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from func_py.clock import VirtualClock
from func_py.triggers.polling import Pauses

SECOND = timedelta(seconds=1)


async def length(pauses: Pauses, clock: VirtualClock) -> int:
    """Seconds that the next pause takes."""
    pausing = asyncio.create_task(pauses.pause())
    await asyncio.sleep(0)
    seconds = 0
    while not pausing.done():
        clock.advance(SECOND)
        seconds += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return seconds


async def test_pauses_double_up_to_the_longest() -> None:
    clock = VirtualClock()
    pauses = Pauses(clock, SECOND, 6 * SECOND, uniform=lambda low, high: 0)
    assert [await length(pauses, clock) for _ in range(5)] == [1, 2, 4, 6, 6]
    pauses.reset()
    assert await length(pauses, clock) == 1


async def test_hosts_do_not_pause_alike() -> None:
    clock = VirtualClock()
    pauses = Pauses(clock, 10 * SECOND, 100 * SECOND, uniform=lambda low, high: high)
    assert [await length(pauses, clock) for _ in range(2)] == [10, 22]


async def test_pause_ends_when_woken_also_before_it_began() -> None:
    pauses = Pauses(VirtualClock(), SECOND, SECOND)
    pausing = asyncio.create_task(pauses.pause())
    await asyncio.sleep(0)
    pauses.wake()
    await pausing
    pauses.wake()
    await pauses.pause()

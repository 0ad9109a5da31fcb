"""The threads of plain functions: how soon their results arrive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from func_py.invocation.threads import FunctionThreads

_DEADLINE_S = 20.0


@pytest.fixture
def threads() -> Iterator[FunctionThreads]:
    """Two of them."""
    threads = FunctionThreads(2)
    yield threads
    threads.close()


async def test_results_arrive_while_the_calls_behind_them_last(threads: FunctionThreads) -> None:
    """Whichever thread makes which call, and in whatever order."""

    def call(number: int, long_calls: Sequence[int], release: threading.Event) -> int:
        if number in long_calls:
            release.wait(_DEADLINE_S)
        return number

    for long_calls in ((3,), (2, 3), (0, 4), (5,)):
        release = threading.Event()
        calls = [
            asyncio.create_task(threads.run(call, number, long_calls, release))
            for number in range(6)
        ]
        # With two long calls both threads are taken; what is behind the second has to wait.
        short = [n for n in range(6) if n not in long_calls and n < max(long_calls)]
        async with asyncio.timeout(_DEADLINE_S):
            assert [await calls[n] for n in short] == short
            release.set()
            await asyncio.gather(*calls)


async def test_what_one_iteration_of_the_loop_calls_is_begun_when_that_is_over(
    threads: FunctionThreads,
) -> None:
    has_begun = threading.Event()
    early: list[bool] = []
    calls = [asyncio.create_task(threads.run(has_begun.set)) for _ in range(2)]
    asyncio.get_running_loop().call_soon(lambda: early.append(has_begun.wait(0.02)))
    await asyncio.gather(*calls)
    assert early == [False]
    assert has_begun.is_set()


async def test_every_result_of_many_calls_arrives(threads: FunctionThreads) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        for count in (1, 2, 3, 50):
            calls = [threads.run(int, number) for number in range(count)]
            assert await asyncio.gather(*calls) == list(range(count))


async def test_a_call_that_blocks_does_not_hold_up_the_results_of_another_thread(
    threads: FunctionThreads,
) -> None:
    release = threading.Event()
    blocked = asyncio.create_task(threads.run(release.wait, _DEADLINE_S))
    async with asyncio.timeout(_DEADLINE_S):
        for number in range(20):
            assert await threads.run(int, number) == number
        release.set()
        assert await blocked

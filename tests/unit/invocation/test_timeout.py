# mypy: disable-error-code="untyped-decorator"
"""`functionTimeout`, and the threads of functions that do not end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from support.apps import RecordedLog, functions

from func_py.errors import FunctionTimeout
from func_py.invocation import Failure, Invoker, PreparedFunction
from func_py.invocation.threads import FunctionThreads

LIMIT = timedelta(milliseconds=10)
SHOWN = "00:00:00.0100000"


@pytest.fixture
def log() -> RecordedLog:
    return RecordedLog()


@pytest.fixture
async def invoker(log: RecordedLog) -> AsyncIterator[Invoker]:
    invoker = Invoker(log, thread_count=1, timeout=LIMIT)
    yield invoker
    invoker.close()


def prepared(invoker: Invoker, code: Any) -> PreparedFunction[object, Any]:
    app = func.FunctionApp()
    app.function_name("f")(app.route()(code))

    def finish(value: object, outputs: Mapping[str, object]) -> object:
        return value

    return invoker.prepare(functions(app)["f"], lambda value: value, finish)


async def test_async_function_is_cancelled_at_its_limit(invoker: Invoker, log: RecordedLog) -> None:
    cancelled: list[bool] = []

    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    outcome = await invoker.call(prepared(invoker, f), None, reason="r")
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, FunctionTimeout)
    assert (outcome.error.function, outcome.error.limit) == ("f", SHOWN)
    assert cancelled == [True]
    first, second = log.errors
    assert first == (
        f"Timeout value of {SHOWN} exceeded by function 'Functions.f' "
        f"(Id: '{outcome.invocation_id}'). Initiating cancellation."
    )
    assert second.endswith(f"\nfunction 'f' exceeded the functionTimeout of {SHOWN}.")


async def test_plain_function_is_left_alone_in_its_thread(
    invoker: Invoker, log: RecordedLog
) -> None:
    go, gone_on = threading.Event(), threading.Event()

    def f(req) -> Any:  # type: ignore[no-untyped-def]
        go.wait(30)
        gone_on.set()

    outcome = await invoker.call(prepared(invoker, f), None, reason="r")
    assert isinstance(outcome, Failure)
    assert "its thread cannot be stopped and is left alone" in log.errors[1]
    go.set()
    assert await asyncio.to_thread(gone_on.wait, 30)


async def test_function_that_ignores_its_cancellation_fails_all_the_same(invoker: Invoker) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"

    outcome = await invoker.call(prepared(invoker, f), None, reason="r")
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, FunctionTimeout)


async def test_timeout_error_of_the_code_itself_stays_its_own(invoker: Invoker) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        raise TimeoutError("its own")

    outcome = await invoker.call(prepared(invoker, f), None, reason="r")
    assert isinstance(outcome, Failure)
    assert str(outcome.error) == "its own"


async def test_function_in_time_is_not_told_of_its_limit(
    invoker: Invoker, log: RecordedLog
) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        return "done"

    assert await invoker.call(prepared(invoker, f), None, reason="r") == "done"
    assert log.errors == []


async def test_each_of_several_functions_is_cancelled_at_its_own_limit(
    invoker: Invoker, log: RecordedLog
) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        if req == "quick":
            return req
        await asyncio.Event().wait()

    function = prepared(invoker, f)
    values = ("slow", "quick", "slow")
    quick = await invoker.call(function, "quick", reason="r")
    outcomes = await asyncio.gather(*(invoker.call(function, v, reason="r") for v in values))
    assert (quick, outcomes[1]) == ("quick", "quick")
    timed_out = [o for o in outcomes if isinstance(o, Failure)]
    assert [type(failure.error) for failure in timed_out] == [FunctionTimeout, FunctionTimeout]
    assert sum("Initiating cancellation" in line for line in log.errors) == 2


async def test_call_that_others_cancel_too_stays_cancelled(
    invoker: Invoker, log: RecordedLog
) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        try:
            await asyncio.Event().wait()
        finally:
            task.cancel()

    task = asyncio.create_task(invoker.call(prepared(invoker, f), None, reason="r"))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.errors[1].endswith("\nCancelled: the host gave it up.")


class Call:
    """A call of a thread that lasts until it is let go."""

    def __init__(self, threads: FunctionThreads) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.task = asyncio.create_task(threads.run(self._last))

    def _last(self) -> str:
        self.begun.set()
        self.go.wait(30)
        return threading.current_thread().name

    async def begin(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30)

    async def give_up(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def test_thread_of_a_call_that_was_given_up_is_replaced() -> None:
    threads = FunctionThreads(1)
    first, second = Call(threads), Call(threads)
    await first.begin()
    await first.give_up()
    await second.begin()
    second.go.set()
    assert await second.task == "func-py-function-1"
    first.go.set()
    threads.close()


async def test_stand_in_goes_when_the_call_that_was_given_up_returns() -> None:
    threads = FunctionThreads(1)
    first, second = Call(threads), Call(threads)
    await first.begin()
    await first.give_up()
    await second.begin()
    assert threads.count == 2
    first.go.set()
    second.go.set()
    while threads.count > 1:  # noqa: ASYNC110  # The threads tell nobody.
        await asyncio.sleep(0)
    threads.close()

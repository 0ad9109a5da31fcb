# mypy: disable-error-code="untyped-decorator"
"""Calling user functions: where they run, what they are told, how failures come back."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import azure.functions as func
import pytest
from support.apps import RecordedLog, functions

from func_py.errors import BindingError
from func_py.invocation import Failure, Invoker, PreparedFunction

GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def log() -> RecordedLog:
    return RecordedLog()


@pytest.fixture
async def invoker(log: RecordedLog) -> AsyncIterator[Invoker]:
    invoker = Invoker(log, thread_count=2)
    yield invoker
    invoker.close()


def same(value: object) -> object:
    return value


def both(value: object, outputs: Mapping[str, object]) -> tuple[object, dict[str, object]]:
    return value, dict(outputs)


def prepared(invoker: Invoker, code: Any) -> PreparedFunction[object, Any]:
    """A function with an HTTP trigger `req`, returning what the code returned and set."""
    app = func.FunctionApp()
    app.route()(code)
    (spec,) = functions(app).values()
    return invoker.prepare(spec, same, both)


async def returned(invoker: Invoker, code: Any, **call: Any) -> Any:
    """What the code returned, called as a function of its own."""
    outcome = await invoker.call(prepared(invoker, code), None, reason="r", **call)
    assert not isinstance(outcome, Failure)
    return outcome[0]


async def test_async_function_runs_on_the_loop(invoker: Invoker) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        return req, threading.current_thread(), asyncio.get_running_loop()

    result = await invoker.call(prepared(invoker, f), "x", reason="r")
    expected = ("x", threading.current_thread(), asyncio.get_running_loop())
    assert result == (expected, {})


async def test_plain_function_runs_in_a_thread(invoker: Invoker) -> None:
    def f(req) -> Any:  # type: ignore[no-untyped-def]
        return req, threading.current_thread().name

    result = await invoker.call(prepared(invoker, f), "x", reason="r")
    assert result == (("x", "func-py-function-0"), {})


async def test_plain_functions_run_side_by_side_up_to_the_thread_count(invoker: Invoker) -> None:
    barrier = threading.Barrier(2, timeout=30)

    def f(req) -> Any:  # type: ignore[no-untyped-def]
        return barrier.wait() in (0, 1)

    function = prepared(invoker, f)
    calls = (invoker.call(function, None, reason="r") for _ in range(4))
    assert await asyncio.gather(*calls) == [(True, {})] * 4


async def test_plain_function_may_run_a_loop_of_its_own(invoker: Invoker) -> None:
    def f(req) -> Any:  # type: ignore[no-untyped-def]
        return asyncio.run(asyncio.sleep(0, "done"))

    assert await returned(invoker, f) == "done"


async def test_both_lines_of_an_invocation_carry_its_id(invoker: Invoker, log: RecordedLog) -> None:
    async def f(req) -> Any: ...  # type: ignore[no-untyped-def]

    await invoker.call(prepared(invoker, f), None, reason="why")
    (_, name, first), (_, _, second) = log.lines
    found = re.fullmatch(rf"Executing 'Functions\.f' \(Reason='why', Id=({GUID})\)", first)
    assert name == "f"
    assert found
    assert re.fullmatch(
        rf"Executed 'Functions\.f' \(Succeeded, Id={found[1]}, Duration=\d+ms\)", second
    )


async def test_every_invocation_has_an_id_of_its_own(invoker: Invoker) -> None:
    async def f(req, context: func.Context) -> Any:  # type: ignore[no-untyped-def]
        return context.invocation_id

    ids = {await returned(invoker, f) for _ in range(100)}
    assert len(ids) == 100


async def test_context_says_everything_about_the_invocation(invoker: Invoker) -> None:
    async def f(req, context: func.Context) -> Any:  # type: ignore[no-untyped-def]
        return context

    context = await returned(invoker, f, trace_parent="00-a-b-01", trace_state="s")
    assert isinstance(context, func.Context)
    assert re.fullmatch(GUID, context.invocation_id)
    assert (context.function_name, context.function_directory) == ("f", __file__.rpartition("/")[0])
    trace = context.trace_context
    assert (trace.trace_parent, trace.Traceparent, trace.trace_state, trace.Tracestate) == (
        "00-a-b-01",
        "00-a-b-01",
        "s",
        "s",
    )
    assert trace.attributes["InvocationId"] == context.invocation_id
    retry = context.retry_context
    assert (retry.retry_count, retry.max_retry_count, retry.exception) == (0, 0, None)


async def test_invocation_without_a_callers_trace_starts_one(invoker: Invoker) -> None:
    async def f(req, context: func.Context) -> Any:  # type: ignore[no-untyped-def]
        return context.trace_context.trace_parent, context.trace_context.trace_parent

    first, again = await returned(invoker, f)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", first)
    assert first == again


async def test_output_parameters_are_handed_to_the_caller(invoker: Invoker) -> None:
    app = func.FunctionApp()

    @app.route(binding_arg_name="resp")
    def f(req: func.HttpRequest, resp: func.Out[str]) -> None:
        resp.set("first")
        resp.set("last")

    function = invoker.prepare(functions(app)["f"], same, both)
    assert await invoker.call(function, None, reason="r") == (None, {"resp": "last"})


@pytest.mark.parametrize("is_async", [True, False])
async def test_exception_is_returned_and_logged_with_the_users_frames_only(
    invoker: Invoker, log: RecordedLog, is_async: bool
) -> None:
    async def slow(req) -> Any:  # type: ignore[no-untyped-def]
        raise LookupError("lost")

    def plain(req) -> Any:  # type: ignore[no-untyped-def]
        raise LookupError("lost")

    function = prepared(invoker, slow if is_async else plain)
    outcome = await invoker.call(function, None, reason="r")
    assert isinstance(outcome, Failure)
    assert str(outcome.error) == "lost"
    (text,) = log.errors
    lines = text.split("\n")
    assert re.fullmatch(r"Executed .* \(Failed, Id=.*, Duration=\d+ms\)", lines[0])
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[2].startswith(f'  File "{__file__}"')
    assert lines[-1] == "LookupError: lost"
    assert text.count("  File ") == 1


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration("x"), asyncio.CancelledError()])
@pytest.mark.parametrize("is_async", [True, False])
async def test_what_would_end_the_host_or_hang_the_caller_is_a_failure(
    invoker: Invoker, is_async: bool, error: BaseException
) -> None:
    async def slow(req) -> Any:  # type: ignore[no-untyped-def]
        raise error

    def plain(req) -> Any:  # type: ignore[no-untyped-def]
        raise error

    function = prepared(invoker, slow if is_async else plain)
    assert isinstance(await invoker.call(function, None, reason="r"), Failure)


async def test_result_nobody_can_send_is_a_logged_failure(
    invoker: Invoker, log: RecordedLog
) -> None:
    async def f(req) -> Any: ...  # type: ignore[no-untyped-def]

    def finish(value: object, outputs: Mapping[str, object]) -> object:
        raise TypeError("cannot send None")

    spec = prepared(invoker, f).spec
    outcome = await invoker.call(invoker.prepare(spec, same, finish), None, reason="r")
    assert isinstance(outcome, Failure)
    assert "cannot send None" in log.errors[0]


async def test_cancelled_call_passes_on_and_is_logged(invoker: Invoker, log: RecordedLog) -> None:
    started = asyncio.Event()

    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(invoker.call(prepared(invoker, f), None, reason="r"))
    await started.wait()
    assert invoker.running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "Cancelled" in log.errors[0]
    assert invoker.running == 0


async def test_code_and_its_tasks_and_threads_know_their_invocation(invoker: Invoker) -> None:
    async def f(req, context: func.Context) -> Any:  # type: ignore[no-untyped-def]
        def in_users_thread() -> None:
            context.thread_local_storage.invocation_id = context.invocation_id
            found.append(invoker.current())

        async def in_task() -> None:
            found.append(invoker.current())

        found: list[Any] = [invoker.current()]
        await asyncio.create_task(in_task())
        thread = threading.Thread(target=in_users_thread)
        thread.start()
        thread.join()
        return [c is context for c in found]

    assert await returned(invoker, f) == [True, True, True]
    assert invoker.current() is None


async def test_plain_function_knows_its_invocation(invoker: Invoker) -> None:
    def f(req, context: func.Context) -> Any:  # type: ignore[no-untyped-def]
        return invoker.current() is context, context.thread_local_storage.invocation_id

    is_current, local_id = await returned(invoker, f)
    assert is_current
    assert re.fullmatch(GUID, local_id)


async def test_input_without_a_source_is_refused_when_prepared(invoker: Invoker) -> None:
    app = func.FunctionApp()

    @app.route()
    @app.generic_input_binding(arg_name="client", type="durableClient")
    def f(req: func.HttpRequest, client: str) -> str:
        return client

    with pytest.raises(BindingError, match="'f', binding 'client': this host gives no"):
        invoker.prepare(functions(app)["f"], same, both)


async def test_waiting_plain_function_whose_caller_is_gone_does_not_run() -> None:
    invoker = Invoker(RecordedLog(), thread_count=1)
    release = threading.Event()
    ran: list[object] = []

    def f(req) -> Any:  # type: ignore[no-untyped-def]
        ran.append(req)
        release.wait(30)

    function = prepared(invoker, f)
    first = asyncio.create_task(invoker.call(function, "first", reason="r"))
    second = asyncio.create_task(invoker.call(function, "second", reason="r"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    await first
    await invoker.call(function, "third", reason="r")
    assert ran == ["first", "third"]
    invoker.close()

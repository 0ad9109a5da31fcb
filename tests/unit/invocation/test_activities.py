# mypy: disable-error-code="untyped-decorator"
"""Activities as the engine calls them: JSON text in, JSON text or failure details out."""

from __future__ import annotations

import asyncio
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from support.apps import RecordedLog, functions

from func_py.durable.model import ActivityTask, TraceContext
from func_py.errors import FunctionNotRegistered
from func_py.invocation import ActivityCalls, Invoker


def task(name: str, text: str | None = None, trace: TraceContext | None = None) -> ActivityTask:
    return ActivityTask(
        instance_id="i", execution_id="e", task_id=0, name=name, input=text, trace=trace
    )


class App:
    """Activities of the tests, and the log of their invocations."""

    def __init__(self) -> None:
        app = df.DFApp()
        self.started = asyncio.Event()
        started = self.started

        @app.function_name("pay_function")
        @app.activity_trigger(input_name="amount", activity="Pay")
        def pay(amount: Any) -> Any:
            return {"paid": amount}

        @app.activity_trigger(input_name="x")
        async def fail(x: Any) -> None:
            try:
                raise KeyError("inner")
            except KeyError as exc:
                raise ValueError("outer") from exc

        @app.activity_trigger(input_name="x")
        async def odd(x: Any) -> Any:
            return {1, 2}

        @app.activity_trigger(input_name="x")
        async def trace(x: Any, context: func.Context) -> Any:
            return context.trace_context.trace_parent

        @app.activity_trigger(input_name="x")
        async def wait(x: Any) -> Any:
            started.set()
            await asyncio.Event().wait()

        self.log = RecordedLog()
        self.calls = ActivityCalls(functions(app).values(), Invoker(self.log))


@pytest.mark.parametrize("name", ["Pay", "pay_function", "pay", "PAY"])
async def test_activity_answers_to_all_its_names(name: str) -> None:
    result = await App().calls.run(task(name, "[1, 2]"))
    assert (result.result, result.failure) == ('{"paid": [1, 2]}', None)


async def test_activity_without_input_gets_none() -> None:
    assert (await App().calls.run(task("Pay"))).result == '{"paid": null}'


async def test_exception_becomes_details_with_cause_and_the_users_frames() -> None:
    failure = (await App().calls.run(task("fail"))).failure
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "outer")
    assert "KeyError: 'inner'" in failure.stack
    assert "invoker.py" not in failure.stack
    assert failure.inner is not None
    assert (failure.inner.type, failure.inner.message) == ("KeyError", "'inner'")


async def test_result_that_is_no_json_is_a_failure_of_the_activity() -> None:
    failure = (await App().calls.run(task("odd"))).failure
    assert failure is not None
    assert failure.type == "ValueError"
    assert "the result of activity 'odd' is not JSON serializable" in failure.message


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_unreadable_input_is_a_logged_failure_of_the_activity() -> None:
    app = App()
    text = '{"__class__": "C", "__module__": "gone", "__data__": "1"}'
    failure = (await app.calls.run(task("Pay", text))).failure
    assert failure is not None
    assert "the input of activity 'pay_function' cannot be decoded" in failure.message
    assert len(app.log.errors) == 1


async def test_unknown_name_raises_with_the_nearest_one() -> None:
    with pytest.raises(FunctionNotRegistered) as caught:
        await App().calls.run(task("Payy"))
    assert (caught.value.kind, caught.value.name, caught.value.near) == ("activity", "Payy", "Pay")
    assert caught.value.known == ["Pay", "fail", "odd", "trace", "wait"]


async def test_trace_of_the_orchestration_reaches_the_context() -> None:
    trace = TraceContext(trace_parent="00-a-b-01")
    assert (await App().calls.run(task("trace", trace=trace))).result == '"00-a-b-01"'


async def test_cancellation_passes_through() -> None:
    app = App()
    running = asyncio.create_task(app.calls.run(task("wait")))
    await app.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_registered_names_are_the_durable_ones() -> None:
    calls = App().calls
    assert calls.names == ["Pay", "fail", "odd", "trace", "wait"]
    assert calls.is_registered("PAY")
    assert not calls.is_registered("nobody")

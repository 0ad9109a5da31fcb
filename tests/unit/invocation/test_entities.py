# mypy: disable-error-code="untyped-decorator"
"""Entities as the engine calls them: a batch of operations in, state and results out."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from support.apps import RecordedLog, functions

from func_py.durable.model import EntityBatch, EntityRequest, OperationResult
from func_py.errors import FunctionNotRegistered
from func_py.invocation import EntityCalls, Invoker


class App:
    """An entity that adds up, and the log of its invocations."""

    def __init__(
        self, timeout: timedelta | None = None, patience: timedelta = timedelta(seconds=60)
    ) -> None:
        app = df.DFApp()
        self.release = release = threading.Event()
        self.threads: list[str] = []
        threads = self.threads

        @app.function_name("counter_function")
        @app.entity_trigger(context_name="ctx", entity_name="Counter")
        def count(ctx: Any) -> None:
            threads.append(threading.current_thread().name)
            if ctx.operation_name == "hang":
                release.wait()
            if ctx.operation_name == "fail":
                raise ValueError("cannot count that")
            if ctx.operation_name == "echo":
                ctx.set_result(ctx.get_input())
                return
            ctx.set_state(ctx.get_state(lambda: 0) + ctx.get_input())
            ctx.set_result(ctx.get_state())

        self.log = RecordedLog()
        self.calls = EntityCalls(
            functions(app).values(), Invoker(self.log, timeout=timeout), patience
        )


def batch(*operations: tuple[str, str | None], name: str = "counter") -> EntityBatch:
    requests = [EntityRequest(id="r", operation=op, input=text) for op, text in operations]
    return EntityBatch(name=name, key="k", exists=True, state="1", operations=requests)


@pytest.mark.parametrize("name", ["Counter", "counter_function", "count", "COUNTER"])
async def test_entity_answers_to_all_its_names(name: str) -> None:
    result = await App().calls.run(batch(("add", '"2"'), name=name))
    assert (result.exists, result.state) == (True, "3")
    assert result.results == [OperationResult(result="3")]


async def test_a_batch_is_one_invocation_in_one_thread() -> None:
    app = App()
    await app.calls.run(batch(("add", "1"), ("add", "1"), ("add", "1")))
    assert len(app.threads) == 3
    assert len(set(app.threads)) == 1
    assert app.threads[0] != threading.current_thread().name
    assert len(app.log.lines) == 2


@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        ('"5"', "5"),  # from the SDK: a string that holds JSON
        ('"\\"5\\""', '"5"'),
        ("5", "5"),  # from the HTTP API: JSON as it is
        ('{"a": 1}', '{"a": 1}'),
        ('"hello"', '"hello"'),
        ('"null"', "null"),
        (None, "null"),
    ],
)
async def test_an_input_is_read_in_both_of_its_forms(stored: str | None, seen: str) -> None:
    result = await App().calls.run(batch(("echo", stored)))
    assert result.results == [OperationResult(result=seen)]


async def test_an_exception_becomes_the_failure_of_its_operation_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "func_py.entities"):
        result = await App().calls.run(batch(("fail", None), ("add", "1")))
    failed, added = result.results
    assert failed.failure is not None
    assert (failed.failure.type, failed.failure.message) == ("ValueError", "cannot count that")
    assert added == OperationResult(result="2")
    (record,) = caplog.records
    assert "Operation 'fail' of entity '@counter@k' failed: Traceback" in record.getMessage()
    assert "test_entities.py" in record.getMessage()
    assert "func_py_bindings/entity.py" not in record.getMessage()


async def test_an_operation_that_takes_too_long_fails_alone() -> None:
    app = App(timeout=timedelta(milliseconds=300))
    try:
        before = await app.calls.run(batch(("add", "1"), ("hang", "1"), ("add", "1")))
        (hung,) = (await app.calls.run(batch(("hang", "1"), ("add", "1")))).results
    finally:
        app.release.set()
    assert (before.state, before.results) == ("2", [OperationResult(result="2")])
    assert hung.failure is not None
    assert hung.failure.type == "FunctionTimeout"


async def test_a_batch_is_left_when_it_has_taken_its_time() -> None:
    app = App(patience=timedelta(0))
    result = await app.calls.run(batch(("add", "1"), ("add", "1")))
    assert (result.state, result.results) == ("2", [OperationResult(result="2")])


async def test_unknown_name_raises_with_the_nearest_one() -> None:
    with pytest.raises(FunctionNotRegistered) as caught:
        await App().calls.run(batch(("add", "1"), name="countr"))
    assert (caught.value.kind, caught.value.near) == ("entity", "Counter")
    assert caught.value.known == ["Counter"]

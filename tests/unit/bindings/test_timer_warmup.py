# mypy: disable-error-code="untyped-decorator"
"""Arguments of timer and warmup functions, through the SDK's converters."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from azure.functions.warmup import WarmUpContext
from support.apps import functions

from func_py_bindings.contract import BindingSpec, FunctionSpec
from func_py_bindings.converters import has_implicit_output
from func_py_bindings.timer import ScheduleStatus, TimerFiring, timer_argument
from func_py_bindings.warmup import warmup_argument

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def timer(code: Any) -> FunctionSpec:
    """A timer function."""
    app = func.FunctionApp()
    app.function_name("f")(app.timer_trigger(arg_name="t", schedule="0 * * * * *")(code))
    return functions(app)["f"]


def test_timer_request_tells_of_a_late_firing() -> None:
    def f(t: func.TimerRequest) -> None: ...

    status = ScheduleStatus(last=None, next=NOON, last_updated=None)
    request: Any = timer_argument(timer(f))(TimerFiring(is_past_due=True, status=status))
    assert isinstance(request, func.TimerRequest)
    assert request.past_due is True
    assert request.schedule_status == {
        "Last": "0001-01-01T00:00:00+00:00",
        "Next": "2026-01-31T12:00:00+00:00",
        "LastUpdated": "0001-01-01T00:00:00+00:00",
    }


def test_timer_request_of_an_unmonitored_schedule_has_no_status() -> None:
    def f(t: func.TimerRequest) -> None: ...

    request: Any = timer_argument(timer(f))(TimerFiring())
    assert (request.past_due, request.schedule_status) == (False, {})


def test_timer_function_may_take_the_json_text() -> None:
    def f(t: str) -> None: ...

    text = timer_argument(timer(f))(TimerFiring())
    assert isinstance(text, str)
    assert json.loads(text)["IsPastDue"] is False


def test_timer_without_annotation_gets_the_object() -> None:
    def f(t): ...  # type: ignore[no-untyped-def]

    assert isinstance(timer_argument(timer(f))(TimerFiring()), func.TimerRequest)


@pytest.mark.parametrize("annotation", [WarmUpContext, str, None])
def test_warmup_argument(annotation: type | None) -> None:
    def f(w): ...  # type: ignore[no-untyped-def]

    if annotation is not None:
        f.__annotations__ = {"w": annotation}
    app = func.FunctionApp()
    app.warm_up_trigger("w")(f)
    argument = warmup_argument(functions(app)["f"])(None)
    assert isinstance(argument, annotation or WarmUpContext)


def test_returned_value_is_for_a_binding_whose_type_the_sdk_does_not_know() -> None:
    def f(t): ...  # type: ignore[no-untyped-def]

    spec = timer(f)
    table = BindingSpec(type="table", name="rows", direction="in")
    assert not has_implicit_output(spec)
    assert has_implicit_output(replace(spec, bindings=(*spec.bindings, table)))

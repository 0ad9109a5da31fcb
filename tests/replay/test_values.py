"""Values of tasks have the SDK's text, and come back as its decoder gives them."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from enum import StrEnum
from types import ModuleType
from typing import Any

import pytest
from azure.functions._durable_functions import df_dumps, df_loads
from replay.host import Host

from func_py.durable.model import TaskCompleted
from func_py.durable.replay.decisions import Complete, Decision, Fail, ScheduleActivity

Steps = Generator[Any, Any, Any]

STRICT = "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"


class Spelled(StrEnum):
    """A text that the SDK's strict mode sends in an envelope."""

    ONE = "one"

    def to_json(self) -> str:
        return "1"


class Point:
    """A custom object of user code."""

    def __init__(self, x: int) -> None:
        self.x = x

    def to_json(self) -> dict[str, int]:
        return {"x": self.x}

    @staticmethod
    def from_json(data: dict[str, int]) -> Point:
        return Point(data["x"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x


@pytest.fixture(params=["", "1"], ids=["loose", "strict"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both modes of the SDK's codec."""
    monkeypatch.setenv(STRICT, request.param)


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize(
    "value",
    [None, True, 7, -(2**70), 0.1, "", 'a "quote" \\ \n', "é \ud800 🐍", Spelled.ONE, [1, "x"]],
)
def test_an_input_has_the_text_that_the_sdk_makes(value: Any) -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A", value)

    assert Host(code).start() == [ScheduleActivity(task_id=0, name="A", input=df_dumps(value))]


def test_a_custom_object_as_input_travels_in_its_envelope() -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("A", Point(3))

    (call,) = Host(code).start()
    assert isinstance(call, ScheduleActivity)
    assert json.loads(call.input or "") == {
        "__class__": "Point",
        "__module__": Point.__module__,
        "__data__": {"x": 3},
    }


def shown(result: str | None, expected_type: Any = None) -> Decision:
    """The outcome of code that returns the text of what an activity gave it."""

    def code(context: Any) -> Steps:
        value = yield context.call_activity("A", None, expected_type)
        return repr(value)

    host = Host(code)
    host.start()
    host.turn(TaskCompleted(timestamp=host.now, task_id=0, result=result))
    return host.decisions[-1]


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize(
    "text", ["null", "true", "7", '"x"', '{"a": [1, NaN]}', ' "blank" ', '"\\ud800"', '"__class__"']
)
def test_a_result_is_what_the_sdks_decoder_gives(text: str) -> None:
    assert shown(text) == Complete(output=json.dumps(repr(df_loads(text))))


def test_a_result_that_is_missing_is_none() -> None:
    assert shown(None) == Complete(output='"None"')


def test_a_result_of_an_expected_type_is_checked_by_the_sdk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STRICT, "1")
    outcome = shown("7", str)
    assert isinstance(outcome, Fail)
    assert outcome.failure.type == "TypeError"


def test_a_custom_object_in_a_result_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def code(context: Any) -> Steps:
        value = yield context.call_activity("A")
        return value == Point(3)

    module = ModuleType("app")
    module.Point = Point  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app", module)
    host = Host(code)
    host.start()
    text = '{"__class__": "Point", "__module__": "app", "__data__": {"x": 3}}'
    host.turn(TaskCompleted(timestamp=host.now, task_id=0, result=text))
    assert host.decisions[-1] == Complete(output="true")


def test_a_result_that_is_no_json_is_the_failure() -> None:
    outcome = shown("plain")
    assert isinstance(outcome, Fail)
    assert outcome.failure.type == "JSONDecodeError"

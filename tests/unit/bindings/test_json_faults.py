"""Where a value cannot become JSON, and where a text cannot become the value again."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from azure.functions._durable_functions import df_dumps, df_loads
from hypothesis import given
from hypothesis import strategies as st

from func_py_bindings.json_faults import read_fault, write_fault

STRICT = "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"
WHEN = datetime(2030, 1, 1, tzinfo=UTC)


class Order:
    """A custom object in the SDK's sense."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def to_json(self) -> Any:
        return {"content": self.content}

    @staticmethod
    def from_json(data: Any) -> Order:
        return Order(data["content"])


class Broken:
    """One whose own methods fail."""

    def to_json(self) -> Any:
        raise KeyError("price")

    @staticmethod
    def from_json(data: Any) -> Broken:
        raise LookupError(f"no {data}")


class Bag:
    """An object without the SDK's methods."""


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("app")
    module.__dict__.update(Order=Order, Broken=Broken, Bag=Bag)
    monkeypatch.setitem(sys.modules, "app", module)


def itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def deep(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


def envelope(name: str, data: Any, module: str = "app") -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__data__": data}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (WHEN, "$: datetime is not JSON serializable; it offers no to_json"),
        (
            {"orders": [1, 2, 3, {"when": WHEN}]},
            "$.orders[3].when: datetime is not JSON serializable; it offers no to_json",
        ),
        (
            {"two words": ({1, 2},)},
            "$['two words'][0]: set is not JSON serializable; it offers no to_json",
        ),
        ([{"a": {(1, 2): 3}}], "$[0].a: the key (1, 2) is no text but a tuple"),
        ([Order(Bag())], "$[0].to_json().content: Bag is not JSON serializable; it offers no "),
        ({"x": Broken()}, "$.x: Broken.to_json raised KeyError: 'price'"),
        (itself(), "$[1].again: list holds itself"),
        (deep(2000), "$: it is nested more than 900 levels deep"),
        (OrderedDict(a=b"x"), "$.a: bytes is not JSON serializable"),
    ],
)
def test_the_first_thing_that_is_no_json_has_a_place(value: Any, fault: str) -> None:
    with pytest.raises((TypeError, ValueError, KeyError, RecursionError)):
        df_dumps(value)
    assert (write_fault(value) or "").startswith(fault)


def test_what_the_sdk_never_opens_is_said_to_stay_closed() -> None:
    fault = "$.order: Order is not JSON serializable; its to_json is not called here"
    assert write_fault({"order": Order(1)}, plain=True) == fault
    assert write_fault([Bag()], plain=True) == "$[0]: Bag is not JSON serializable"


def test_strict_mode_opens_the_outermost_object_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    inner = "Order is not JSON serializable; its to_json is not called here"
    assert write_fault(Order(1)) is None
    assert write_fault([Order(1)]) == f"$[0]: {inner}"
    assert write_fault(Order(Order(1))) == f"$.to_json().content: {inner}"
    assert write_fault(Broken()) == "$: Broken.to_json raised KeyError: 'price'"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(Bag),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
        | st.builds(Order, inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_a_value_has_a_fault_when_the_sdk_refuses_it(value: Any) -> None:
    try:
        df_dumps(value)
    except TypeError:
        assert write_fault(value) is not None
    else:
        assert write_fault(value) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": [envelope("Broken", 5)]}, "$.a[0]: Broken.from_json raised LookupError: no 5"),
        (envelope("Order", {}), "$: Order.from_json raised KeyError: 'content'"),
        (
            envelope("Order", {"content": envelope("Broken", 1)}),
            "$.__data__.content: Broken.from_json raised LookupError: no 1",
        ),
        (
            envelope("Order", {}, "gone"),
            "$: Order cannot be made again: ValueError: cannot deserialize custom object: module",
        ),
        (envelope("Gone", {}), "$: Gone cannot be made again: AttributeError: cannot"),
        (envelope("Bag", {}), "$: Bag cannot be made again: TypeError: class"),
    ],
)
def test_the_first_object_that_cannot_be_made_again_has_a_place(value: Any, fault: str) -> None:
    text = json.dumps(value)
    with pytest.raises((LookupError, ValueError, AttributeError, TypeError)):
        df_loads(text)
    assert (read_fault(text) or "").startswith(fault)


def test_strict_mode_makes_the_outermost_object_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    text = json.dumps(envelope("Broken", 5))
    assert read_fault(text, Broken) == "$: Broken.from_json raised LookupError: no 5"
    assert read_fault(text) is None
    assert read_fault("5", Broken) is None


def test_a_text_that_is_no_json_is_shown() -> None:
    fault = "it is no JSON (Expecting value: line 1 column 1 (char 0)): plain"
    assert read_fault("plain") == fault


def test_a_text_that_can_be_read_has_no_fault() -> None:
    assert read_fault(json.dumps([1, envelope("Order", {"content": "é"})])) is None

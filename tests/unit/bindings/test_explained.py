"""Exceptions keep class and text, and tell in a note which value was at fault."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import azure.durable_functions as df
import pytest

from func_py_bindings.activity import decode_input, encode_result
from func_py_bindings.durable_client import InProcessDurableClient, client_payload
from func_py_bindings.entity import EntityCall, Operation, run_operations
from func_py_bindings.explained import explain_read, explain_write, explained_text, explaining

WHEN = datetime(2030, 1, 1, tzinfo=UTC)
FAULT = "$.orders[1].when: datetime is not JSON serializable"
ORDERS = {"orders": [{}, {"when": WHEN}]}


class Fragile:
    """A custom object whose methods raise what no encoder raises."""

    def to_json(self) -> Any:
        raise LookupError("no price")

    @staticmethod
    def from_json(data: Any) -> Fragile:
        raise LookupError("no price")


FRAGILE = json.dumps({"__class__": "Fragile", "__module__": "app", "__data__": 1})


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("app")
    module.__dict__["Fragile"] = Fragile
    monkeypatch.setitem(sys.modules, "app", module)


# ---- notes -------------------------------------------------------------------------------


def test_an_explanation_changes_neither_class_nor_text() -> None:
    error = TypeError("no")
    explain_write(error, ORDERS, "the input of activity 'Ship'", plain=True)
    assert str(error) == "no"
    assert explained_text(error) == f"no (the input of activity 'Ship': {FAULT})"
    assert FAULT in "".join(traceback.format_exception(error))


def test_an_error_is_explained_once_by_who_is_nearest() -> None:
    error = TypeError("no")
    explain_write(error, [WHEN], "the input")
    explain_write(error, [WHEN], "the output")
    assert "the output" not in explained_text(error)


def test_an_error_that_the_value_does_not_explain_stays_as_it_is() -> None:
    error = ValueError("no such activity")
    explain_write(error, {"a": 1}, "the input")
    explain_read(error, '{"a": 1}', "the input")
    explain_read(error, None, "the input")
    assert explained_text(error) == "no such activity"


def test_notes_of_the_user_are_no_part_of_the_text() -> None:
    error = ValueError(" mine ")
    error.add_note("see the manual")
    assert explained_text(error) == " mine "
    error.__notes__ = 3  # type: ignore[assignment]
    assert explained_text(error) == " mine "


def test_an_error_without_text_has_the_explanation() -> None:
    error = KeyError()
    explain_write(error, {1: {(): 1}}, "the input")
    assert explained_text(error) == "(the input: $[1]: the key () is no text but a tuple)"


def test_a_value_that_breaks_the_search_hides_no_error() -> None:
    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    error = RuntimeError("from the encoder")
    explain_write(error, Odd(a=1), "the input")
    assert explained_text(error) == "from the encoder"


def test_a_call_whose_arguments_do_not_fit_raises_what_it_always_did() -> None:
    def method(value: Any) -> None: ...

    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        explaining(method, "value", lambda given: "the value")(other=1)


# ---- activities --------------------------------------------------------------------------


def test_a_result_names_the_activity_and_the_place() -> None:
    with pytest.raises(ValueError, match=r"the result of activity 'Ship' is not JSON") as caught:
        encode_result(ORDERS, "Ship")
    assert f"{FAULT}; it offers no to_json, in {{'orders'" in str(caught.value)


def test_a_failing_to_json_of_a_result_keeps_its_class_and_is_named() -> None:
    with pytest.raises(LookupError) as caught:
        encode_result([Fragile()], "Ship")
    assert explained_text(caught.value) == (
        "no price (the result of activity 'Ship': $[0]: Fragile.to_json raised LookupError: "
        "no price)"
    )


def test_a_result_that_cannot_even_be_shown_is_told_by_its_kind() -> None:
    class Hidden:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ValueError, match=r"\$: Hidden is not JSON .*, in a Hidden$"):
        encode_result(Hidden(), "Ship")


def test_a_failing_from_json_of_an_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"input of activity 'Ship' cannot be decoded") as caught:
        decode_input(f'{{"order": {FRAGILE}}}', "Ship")
    assert "$.order: Fragile.from_json raised LookupError: no price, in {" in str(caught.value)


# ---- entities ----------------------------------------------------------------------------


def entity(context: Any) -> None:
    match context.operation_name:
        case "state":
            context.set_state(ORDERS)
        case "result":
            context.set_result(ORDERS)
        case "read state":
            context.get_state()
        case "read input":
            context.get_input()
        case _:
            context.set_state(Fragile())


@pytest.mark.parametrize(
    ("operation", "kind", "text"),
    [
        ("state", TypeError, f"(the state of entity '@cart@K': {FAULT}; it offers no to_json)"),
        (
            "result",
            TypeError,
            f"(the result of operation 'result' of entity '@cart@K': {FAULT}; it offers no ",
        ),
        (
            "read state",
            LookupError,
            "(the state of entity '@cart@K': $: Fragile.from_json raised LookupError: no price)",
        ),
        (
            "read input",
            LookupError,
            "(the input of operation 'read input' of entity '@cart@K': $: Fragile.from_json raised",
        ),
        (
            "fragile",
            LookupError,
            "(the state of entity '@cart@K': $: Fragile.to_json raised LookupError: no price)",
        ),
    ],
)
def test_an_operation_names_entity_and_place(
    operation: str, kind: type[Exception], text: str
) -> None:
    call = EntityCall("cart", "K", True, FRAGILE, [Operation(operation, FRAGILE)])
    (result,) = run_operations(entity, call).results
    assert isinstance(result, kind)
    assert text in explained_text(result)


# ---- the client --------------------------------------------------------------------------


class Unused:
    """A transport that no request may reach."""

    async def request(self, *given: object, **more: object) -> tuple[int, object]:
        raise AssertionError(given)


Call = Callable[[InProcessDurableClient], Awaitable[object]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda c: c.start_new("Ship", None, ORDERS),
            f"(the input of orchestrator 'Ship': {FAULT}; it offers no to_json)",
        ),
        (
            lambda c: c.raise_event("i", "Paid", event_data=ORDERS),
            f"(the data of event 'Paid': {FAULT})",
        ),
        (
            lambda c: c.signal_entity(df.EntityId("Cart", "K"), "add", ORDERS),
            f"(the input of operation 'add' of '@cart@K': {FAULT})",
        ),
        (
            lambda c: c.raise_event("i", "Paid", Fragile()),
            "$: Fragile is not JSON serializable; its to_json is not called here)",
        ),
    ],
)
async def test_the_client_names_what_the_value_was_for(call: Call, text: str) -> None:
    client = InProcessDurableClient(client_payload("Hub", "http://h", "http://r/", ""), Unused())
    with pytest.raises(TypeError) as caught:
        await call(client)
    assert explained_text(caught.value).endswith(text)

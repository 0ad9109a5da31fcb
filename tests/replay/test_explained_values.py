"""A value that cannot be JSON fails the instance by class, text, owner and place of the fault."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import azure.durable_functions as df
import pytest
from replay.host import INSTANCE, Host

from func_py.durable.model import FailureDetails, HistoryEvent
from func_py.durable.replay import RaisedInReplay, verify
from func_py.durable.replay.decisions import Complete, Fail

Steps = Generator[Any, Any, Any]

WHEN = datetime(2030, 1, 1, tzinfo=UTC)
ORDERS = {"orders": [{}, {"when": WHEN}]}
PLAIN = "$.orders[1].when: datetime is not JSON serializable"
FAULT = f"{PLAIN}; it offers no to_json"
CART = df.EntityId("Cart", "K")
RETRY = df.RetryOptions(1, 2)


class Price:
    """A custom object; `is_broken` makes both its methods fail."""

    is_broken = True

    def to_json(self) -> Any:
        if self.is_broken:
            raise LookupError("no price")
        return 1

    @classmethod
    def from_json(cls, data: Any) -> Price:
        if cls.is_broken:
            raise LookupError("no price")
        return cls()


PRICE = {"__class__": "Price", "__module__": "app", "__data__": 1}
UNREADABLE = "$.a: Price.from_json raised LookupError: no price"


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("app")
    module.__dict__["Price"] = Price
    monkeypatch.setitem(sys.modules, "app", module)


def failure(host: Host) -> FailureDetails:
    """Of the last decision, which failed the instance."""
    decision = host.decisions[-1]
    assert isinstance(decision, Fail)
    return decision.failure


Give = Callable[[Any, Any], Any]

WRITTEN: dict[str, tuple[Give, str]] = {
    "activity": (lambda c, v: c.call_activity("Ship", v), "the input of activity 'Ship'"),
    "retried activity": (
        lambda c, v: c.call_activity_with_retry("Ship", RETRY, v),
        "the input of activity 'Ship'",
    ),
    "child": (
        lambda c, v: c.call_sub_orchestrator("Pack", v),
        "the input of sub-orchestration 'Pack'",
    ),
    "retried child": (
        lambda c, v: c.call_sub_orchestrator_with_retry("Pack", RETRY, v),
        "the input of sub-orchestration 'Pack'",
    ),
    "entity call": (
        lambda c, v: c.call_entity(CART, "add", v),
        "the input of operation 'add' of '@cart@K'",
    ),
    "signal": (
        lambda c, v: c.signal_entity(CART, "add", v),
        "the input of operation 'add' of '@cart@K'",
    ),
    "next input": (
        lambda c, v: c.continue_as_new(v),
        "the next input of orchestrator 'orchestrator'",
    ),
    "custom status": (
        lambda c, v: c.set_custom_status(v),
        "the custom status of orchestrator 'orchestrator'",
    ),
}


@pytest.mark.parametrize(("give", "owner"), WRITTEN.values(), ids=WRITTEN)
def test_a_value_that_is_no_json_is_named_by_owner_and_place(give: Give, owner: str) -> None:
    def code(context: Any) -> Steps:
        given = give(context, ORDERS)
        yield given if given is not None else context.call_activity("A")

    host = Host(code)
    host.start()

    details = failure(host)
    assert details.type == "TypeError"
    assert details.message == (
        f"class <class 'datetime.datetime'> does not expose a `to_json` function ({owner}: {FAULT})"
    )
    assert f"{owner}: {FAULT}" in details.stack


@pytest.mark.parametrize(("give", "owner"), WRITTEN.values(), ids=WRITTEN)
def test_a_failing_to_json_is_named_and_keeps_its_class(give: Give, owner: str) -> None:
    def code(context: Any) -> Steps:
        given = give(context, [Price()])
        yield given if given is not None else context.call_activity("A")

    host = Host(code)
    host.start()

    details = failure(host)
    assert details.type == "LookupError"
    assert details.stack.count("File ") == details.stack.count(f'File "{__file__}"')
    assert details.message == (
        f"no price ({owner}: $[0]: Price.to_json raised LookupError: no price)"
    )


def test_the_code_catches_what_the_sdk_raises() -> None:
    def code(context: Any) -> Steps:
        try:
            yield context.call_activity("Ship", ORDERS)
        except TypeError as error:
            return str(error)

    host = Host(code)
    host.start()

    text = "class <class 'datetime.datetime'> does not expose a `to_json` function"
    assert host.decisions == [Complete(output=json.dumps(text))]


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (ORDERS, PLAIN),
        ([Price()], "$[0]: Price is not JSON serializable; its to_json is not called here"),
    ],
)
def test_an_output_that_is_no_json_is_named_by_owner_and_place(output: Any, fault: str) -> None:
    host = Host(lambda context: output)
    host.start()

    details = failure(host)
    assert details.type == "TypeError"
    assert details.message.endswith(f"(the output of orchestrator 'orchestrator': {fault})")


@pytest.mark.parametrize(
    ("content", "headers", "owner"),
    [
        (ORDERS, None, f"the content for http://shop.example: {PLAIN}"),
        (
            None,
            {"When": WHEN},
            "the request to http://shop.example: $.headers.When: datetime is not JSON serializable",
        ),
    ],
)
def test_a_request_that_is_no_json_is_named(content: Any, headers: Any, owner: str) -> None:
    def code(context: Any) -> Steps:
        yield context.call_http("POST", "http://shop.example", content, headers)

    host = Host(code)
    host.start()

    details = failure(host)
    assert details.type == "TypeError"
    assert details.message.endswith(f"({owner})")


def test_an_input_that_cannot_be_made_again_is_named() -> None:
    host = Host(lambda context: context.get_input(), {"a": PRICE})
    host.start()

    details = failure(host)
    assert details.type == "LookupError"
    assert details.message == (f"no price (the input of orchestrator 'orchestrator': {UNREADABLE})")


Answer = Callable[[Host], HistoryEvent]

READ: dict[str, tuple[Callable[[Any], Any], Answer, str]] = {
    "activity": (
        lambda c: c.call_activity("Ship"),
        lambda h: h.answer(0, {"a": PRICE}),
        "activity 'Ship' (#0)",
    ),
    "retried activity": (
        lambda c: c.call_activity_with_retry("Ship", RETRY),
        lambda h: h.answer(0, {"a": PRICE}),
        "activity 'Ship' (#0)",
    ),
    "child": (
        lambda c: c.call_sub_orchestrator("Pack"),
        lambda h: h.answer(0, {"a": PRICE}),
        "sub-orchestration 'Pack' (#0)",
    ),
    "event": (
        lambda c: c.wait_for_external_event("Paid"),
        lambda h: h.event("paid", {"a": PRICE}),
        "event 'Paid'",
    ),
    "the newer of two waits": (
        lambda c: c.task_all([c.wait_for_external_event("Paid") for _ in range(2)]),
        lambda h: h.event("Paid", {"a": PRICE}),
        "event 'Paid'",
    ),
    "entity": (
        lambda c: c.call_entity(CART, "get"),
        lambda h: h.answer(0, {"a": PRICE}),
        "the answer of '@cart@K' to 'get' (#0)",
    ),
}


@pytest.mark.parametrize(("ask", "answer", "owner"), READ.values(), ids=READ)
def test_a_failing_from_json_fails_the_instance_as_itself(
    ask: Callable[[Any], Any], answer: Answer, owner: str
) -> None:
    def code(context: Any) -> Steps:
        yield ask(context)

    host = Host(code)
    host.start()
    host.turn(answer(host))

    details = failure(host)
    assert details.type == "LookupError"
    assert details.message == f"no price (the value of {owner}: {UNREADABLE})"
    assert verify(code, INSTANCE, host.history) is None


def test_a_result_that_is_no_json_is_shown_with_its_owner() -> None:
    def code(context: Any) -> Steps:
        yield context.wait_for_external_event("Paid")

    host = Host(code)
    host.start()
    host.turn(host.event("Paid").__class__(timestamp=host.now, name="Paid", input="plain"))

    assert failure(host).message.endswith(
        "(the value of event 'Paid': it is no JSON (Expecting value: line 1 column 1 (char 0)): "
        "plain)"
    )


@pytest.mark.parametrize("value", [{"a": PRICE}, "plain"])
def test_a_from_json_that_fails_in_a_replay_only_is_no_non_determinism(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(context: Any) -> Steps:
        yield context.call_activity("Ship")
        yield context.call_activity("Pack", Price())

    monkeypatch.setattr(Price, "is_broken", False)
    host = Host(code)
    host.start()
    host.turn(host.answer(0, value))
    host.turn(host.answer(1))
    monkeypatch.setattr(Price, "is_broken", True)

    error = verify(code, INSTANCE, host.history)
    again = host.recovered()

    assert isinstance(error, RaisedInReplay)
    assert "LookupError: no price (the " in str(error)
    (end,) = again.take_decisions()
    assert isinstance(end, Fail)
    assert end.failure.type == "LookupError"

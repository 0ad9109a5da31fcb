# mypy: disable-error-code="untyped-decorator"
"""Queue bindings: what arguments are made of messages, and messages of values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, List  # noqa: UP035

import azure.functions as func
import pytest
from support.apps import functions

from func_py_bindings.contract import BindingSpec
from func_py_bindings.queue import (
    QueueDelivery,
    message_bodies,
    queue_argument,
    queue_data,
    queue_name_problem,
)
from func_py_bindings.registry import default_registry


def delivery(body: bytes) -> QueueDelivery:
    return QueueDelivery(
        id="m1",
        body=body,
        dequeue_count=2,
        inserted_on=datetime(2030, 1, 1, 12, tzinfo=UTC),
        expires_on=datetime(2030, 1, 8, 12, tzinfo=UTC),
        next_visible_on=datetime(2030, 1, 1, 12, 10, tzinfo=UTC),
        pop_receipt="r1",
    )


def argument(code: Callable[..., Any], body: bytes, **options: Any) -> Any:
    """What the function is given for a message."""
    app = func.FunctionApp()
    app.function_name("f")(app.queue_trigger("m", "orders", "", **options)(code))
    return queue_argument(functions(app)["f"])(delivery(body))


def test_message_has_everything_the_service_says() -> None:
    def code(m: func.QueueMessage) -> None: ...

    message = argument(code, b'{"a": 1}')
    assert isinstance(message, func.QueueMessage)
    assert message.get_body() == b'{"a": 1}'
    assert message.get_json() == {"a": 1}
    assert (message.id, message.dequeue_count, message.pop_receipt) == ("m1", 2, "r1")
    assert message.insertion_time == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert message.expiration_time == datetime(2030, 1, 8, 12, tzinfo=UTC)
    assert message.time_next_visible == datetime(2030, 1, 1, 12, 10, tzinfo=UTC)


def test_parameter_without_annotation_gets_a_message() -> None:
    def code(m) -> None: ...  # type: ignore[no-untyped-def]

    assert argument(code, b"\xff\x00").get_body() == b"\xff\x00"


def test_annotation_decides_between_text_and_bytes() -> None:
    def text(m: str) -> None: ...
    def raw(m: bytes) -> None: ...

    assert argument(text, "grün".encode()) == "grün"
    assert argument(raw, "grün".encode()) == "grün".encode()


def test_data_type_decides_before_the_annotation() -> None:
    def code(m: str) -> None: ...

    assert argument(code, b"x", data_type=func.DataType.BINARY) == b"x"


def test_text_that_is_none_is_told() -> None:
    def code(m: str) -> None: ...

    with pytest.raises(ValueError, match="annotate the parameter with bytes"):
        argument(code, b"\xff")


def test_expressions_find_metadata_and_properties_of_the_message() -> None:
    data = queue_data(delivery(b'{"order": {"id": 7}, "Id": "theirs"}'))
    assert data["order"] == {"id": 7}
    assert data["Id"] == "theirs"
    assert (data["DequeueCount"], data["PopReceipt"]) == (2, "r1")
    assert data["QueueTrigger"] == '{"order": {"id": 7}, "Id": "theirs"}'
    assert queue_data(delivery(b"[1]"))["Id"] == "m1"


@pytest.mark.parametrize(
    ("value", "bodies"),
    [
        ("one", [b"one"]),
        (b"\xff", [b"\xff"]),
        ('["not", "split"]', [b'["not", "split"]']),
        (func.QueueMessage(body="m"), [b"m"]),
        ({"a": 1}, [b'{"a": 1}']),
        (["one", func.QueueMessage(body="two"), {"n": 3}], [b"one", b"two", b'{"n": 3}']),
        ((text for text in ("a", "b")), [b"a", b"b"]),
        ([], []),
    ],
)
def test_value_becomes_messages(value: object, bodies: list[bytes]) -> None:
    assert message_bodies(value) == bodies


@pytest.mark.parametrize("value", [object(), [object()], ["a", None]])
def test_value_that_can_be_no_message_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="can be no queue message"):
        message_bodies(value)


@pytest.mark.parametrize("name", ["abc", "a-b-1", "a" * 63])
def test_names_of_queues(name: str) -> None:
    assert queue_name_problem(name) is None


@pytest.mark.parametrize("name", ["ab", "a--b", "-abc", "abc-", "Abc", "a_b", "a" * 64])
def test_what_is_no_name_of_a_queue(name: str) -> None:
    assert queue_name_problem(name) is not None


@pytest.mark.parametrize(
    ("kind", "properties", "problem"),
    [
        ("queueTrigger", {}, "it has no queueName."),
        ("queueTrigger", {"queueName": "x"}, "'x' can be no name of a queue"),
        ("queueTrigger", {"queueName": "of-{id}"}, "must have no expressions"),
        ("queue", {"queueName": "of-{id"}, "has no closing"),
        ("queue", {"queueName": "a_b"}, "can be no name of a queue"),
    ],
)
def test_mistakes_in_declarations_are_told(
    kind: str, properties: dict[str, str], problem: str
) -> None:
    found = default_registry().find(kind)
    assert found is not None
    direction = "in" if found.is_trigger else "out"
    binding = BindingSpec(kind, "m", direction, properties)  # type: ignore[arg-type]
    (sentence,) = found.check(binding, lambda: None)
    assert problem in sentence


@pytest.mark.parametrize(
    "annotation",
    [str, bytes, func.QueueMessage, List[str], list[str], list[func.QueueMessage]],  # noqa: UP006
)
def test_annotations_of_outputs(annotation: object) -> None:
    output = default_registry().find("queue")
    assert output is not None
    assert output.accepts(annotation)
    assert not output.accepts(func.HttpResponse)
    assert not output.accepts(list[int])

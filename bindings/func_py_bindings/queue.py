"""The queue trigger and output: messages to `func.QueueMessage`, values to message bodies.

Knows no client of the service: the host fills a `QueueDelivery` and sends what `message_bodies`
gives.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.functions import _abc as sdk_abc
from azure.functions.meta import Datum

from func_py_bindings.contract import BindingSpec, BindingType, FunctionSpec
from func_py_bindings.converters import decoder, payload_datum, payload_form
from func_py_bindings.expressions import parse_template
from func_py_bindings.json_data import json_properties

TRIGGER = "queueTrigger"
OUTPUT = "queue"

_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
_VALUES = (sdk_abc.QueueMessage, str, bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDelivery:
    """A message as a host received it. Times are aware.

    `body` is what its sender sent, the encoding on the wire undone. `dequeue_count` counts this
    delivery. `pop_receipt` holds until the message is received again, or hidden for longer.
    """

    id: str
    body: bytes
    dequeue_count: int
    inserted_on: datetime
    expires_on: datetime
    next_visible_on: datetime
    pop_receipt: str


def queue_argument(spec: FunctionSpec) -> Callable[[QueueDelivery], object]:
    """What makes the argument of a queue function."""
    decode = decoder(spec, spec.trigger, TRIGGER)
    form = payload_form(spec, spec.trigger)

    def argument(delivery: QueueDelivery) -> object:
        metadata = {k: Datum(json.dumps(v), "json") for k, v in _metadata(delivery).items()}
        return decode(payload_datum(delivery.body, form), metadata)

    return argument


def queue_data(delivery: QueueDelivery) -> Mapping[str, object]:
    """What binding expressions may refer to; properties of a JSON message win."""
    return {
        "QueueTrigger": delivery.body.decode("utf-8", "replace"),
        **_metadata(delivery),
        **json_properties(delivery.body),
    }


def _metadata(delivery: QueueDelivery) -> dict[str, object]:
    return {
        "Id": delivery.id,
        "DequeueCount": delivery.dequeue_count,
        "ExpirationTime": _time(delivery.expires_on),
        "InsertionTime": _time(delivery.inserted_on),
        "NextVisibleTime": _time(delivery.next_visible_on),
        "PopReceipt": delivery.pop_receipt,
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def message_bodies(value: object) -> list[bytes]:
    """The messages that a value of an output means: a list is one for each item.

    Raises:
        TypeError: The value, or an item of it, can be no message.
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping)):
        return [_body(item) for item in value]
    return [_body(value)]


def _body(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, sdk_abc.QueueMessage):
        return bytes(value.get_body())
    if isinstance(value, (dict, int, float)):
        return json.dumps(value).encode("utf-8")
    raise TypeError(
        f"a value of type '{type(value).__name__}' can be no queue message: set a str, bytes, "
        "a dict, azure.functions.QueueMessage, or a list of them"
    )


def queue_name_problem(name: str) -> str | None:
    """Why a queue cannot be called so, or None."""
    if 3 <= len(name) <= 63 and _NAME.fullmatch(name):
        return None
    return (
        f"'{name}' can be no name of a queue: 3 to 63 lower-case letters, digits and single "
        "dashes, with a letter or digit at both ends."
    )


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    name = str(binding.get("queueName") or "")
    if not name:
        yield "it has no queueName."
        return
    try:
        is_fixed = not parse_template(name).names
    except ValueError as exc:
        yield f"queueName: {exc}."
        return
    if not is_fixed and binding.type.lower() == TRIGGER.lower():
        yield f"queueName: a trigger listens to one queue, so '{name}' must have no expressions."
    elif is_fixed and (problem := queue_name_problem(name.lower())):
        yield f"queueName: {problem}"


def _accepts_input(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, _VALUES)


def _accepts_output(annotation: object) -> bool:
    # A list of such values is as good. The SDK takes `List[str]`, but not `list[str]`.
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return all(_accepts_input(item) for item in typing.get_args(annotation))
    return _accepts_input(annotation)


TYPES = (
    BindingType(
        TRIGGER,
        directions=frozenset({"in"}),
        is_trigger=True,
        accepts=_accepts_input,
        check=_check,
    ),
    BindingType(OUTPUT, directions=frozenset({"out"}), accepts=_accepts_output, check=_check),
)

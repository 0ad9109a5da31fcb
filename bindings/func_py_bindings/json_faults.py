"""Find what in a value cannot become JSON text, or in a text cannot become a value again.

The encoder names a type and the decoder a key at best; people need the place. Used only after an
error: `to_json` and `from_json` of the value's classes are called once more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from azure.functions._durable_functions import (
    _deserialize_custom_object,
    _get_serialize_default,
)

_MAX_DEPTH = 900
"""The encoder gives up a little later: each level is a call of itself."""
_MAX_SHOWN = 80

_Children = Iterator[tuple[str, object]]


def write_fault(value: object, *, plain: bool = False) -> str | None:
    """The first thing in a value that the SDK cannot encode.

    Args:
        value: What was to be encoded.
        plain: The SDK encodes values of this kind without calling any `to_json`.

    Returns:
        Place and fault, such as `$.orders[3].when: datetime is not JSON serializable; it offers no
        to_json`; None when there is none.
    """
    is_loose = not plain and _get_serialize_default() is not None
    if not plain and not is_loose and hasattr(value, "to_json"):
        # Strict mode opens the outermost value only, and that whatever else it is.
        fault, value = _opened(value)
        return f"$: {fault}" if fault else _first_fault(value, "$.to_json()", opens=False)
    return _first_fault(value, "$", opens=is_loose)


def _first_fault(value: object, place: str, *, opens: bool) -> str | None:
    # Not recursive: the value may be nested as deep as its encoder could not go.
    labels: list[str] = []
    above: list[int] = []
    levels: list[_Children] = [iter([(place, value)])]
    while levels:
        step = next(levels[-1], None)
        if step is None:
            levels.pop()
            if above:
                above.pop()
                labels.pop()
            continue
        label, item = step
        if item is None or isinstance(item, str | int | float):
            continue
        fault, children = _look_into(item, opens)
        if id(item) in above:
            fault = f"{_name(item)} holds itself"
        elif len(above) >= _MAX_DEPTH:
            return f"{place}: it is nested more than {_MAX_DEPTH} levels deep"
        if fault:
            return f"{''.join([*labels, label])}: {fault}"
        labels.append(label)
        above.append(id(item))
        levels.append(children)
    return None


def _look_into(item: object, opens: bool) -> tuple[str, _Children]:
    """What is wrong with the item itself, or empty and what it holds."""
    nothing: _Children = iter(())
    if isinstance(item, dict):
        for key in item:
            if key is not None and not isinstance(key, str | int | float):
                return f"the key {key!r:.{_MAX_SHOWN}} is no text but a {_name(key)}", nothing
        return "", ((_label(key), each) for key, each in item.items())
    if isinstance(item, list | tuple):
        return "", ((f"[{index}]", each) for index, each in enumerate(item))
    if opens and hasattr(item, "to_json"):
        fault, data = _opened(item)
        return fault, iter([(".to_json()", data)])
    fault = f"{_name(item)} is not JSON serializable"
    if opens:
        fault += "; it offers no to_json"
    elif hasattr(item, "to_json"):
        fault += "; its to_json is not called here"
    return fault, nothing


def _opened(item: object) -> tuple[str, object]:
    """What is wrong with the item's `to_json`, or empty and its answer."""
    kind: Any = type(item)
    try:
        return "", kind.to_json(item)
    except Exception as error:  # noqa: BLE001 - user code
        return f"{_name(item)}.to_json raised {_shown_error(error)}", None


def read_fault(text: str, expected_type: type | None = None) -> str | None:
    """The first thing in a text that the SDK cannot decode; form and None as `write_fault`.

    `expected_type` is what the caller asked for; only the SDK's strict mode heeds it.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        return f"it is no JSON ({error}): {text[:_MAX_SHOWN]}"
    if _get_serialize_default() is not None:
        return _Reader().fault_in(raw)
    if expected_type is None or not _is_envelope(raw):
        return None
    kind: Any = expected_type
    try:
        kind.from_json(raw["__data__"])
    except Exception as error:  # noqa: BLE001 - user code
        return f"$: {kind.__name__}.from_json raised {_shown_error(error)}"
    return None


class _Reader:
    """Opens envelopes from the inside outwards, as the SDK does, until one cannot be opened."""

    def __init__(self) -> None:
        self._fault: str | None = None

    def fault_in(self, raw: object) -> str | None:
        self._open(raw, "$")
        return self._fault

    def _open(self, raw: object, place: str) -> object:
        if isinstance(raw, list):
            return [self._open(each, f"{place}[{index}]") for index, each in enumerate(raw)]
        if not isinstance(raw, dict):
            return raw
        inner: Any = {key: self._open(each, place + _label(key)) for key, each in raw.items()}
        if self._fault is not None or not _is_envelope(inner):
            return inner
        name, module = inner["__class__"], inner["__module__"]
        try:
            return _deserialize_custom_object(inner)
        except Exception as error:  # noqa: BLE001 - user code
            found = getattr(sys.modules.get(module), name, None)
            is_users = hasattr(found, "from_json")
            told = f"{name}.from_json raised" if is_users else f"{name} cannot be made again:"
            self._fault = f"{place}: {told} {_shown_error(error)}"
            return None


def _is_envelope(raw: object) -> bool:
    return isinstance(raw, dict) and {"__class__", "__module__", "__data__"} <= raw.keys()


def _label(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.{_MAX_SHOWN}}]"


def _name(item: object) -> str:
    return type(item).__name__


def _shown_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

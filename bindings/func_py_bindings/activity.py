"""The activity trigger: JSON text to argument and result to JSON text, as the SDK does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import msgspec
from azure.functions._durable_functions import df_loads

from func_py_bindings.contract import BindingType, FunctionSpec
from func_py_bindings.explained import explain_write
from func_py_bindings.json_faults import read_fault, write_fault
from func_py_bindings.json_text import encode

_MAX_SHOWN = 200

_fast_decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()


def decode_input(text: str | None, function: str) -> object:
    """The argument of an activity from its JSON text. None stands for no input.

    Text that is not JSON is the argument itself, as with the SDK's own converter. An object in the
    SDK's envelope becomes the user's object again.

    Raises:
        ValueError: The envelope cannot be opened (its module is not loaded, `from_json` failed).
    """
    if text is None:
        return None
    # Only the envelope needs the SDK's decoder, which costs ten times this one.
    if "__class__" not in text:
        try:
            return _fast_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            pass  # Lone surrogates, NaN: JSON to Python's parser, or no JSON at all.
    try:
        value: object = df_loads(text)
    except json.JSONDecodeError:
        return text
    except Exception as exc:
        fault = read_fault(text) or f"{type(exc).__name__}: {exc}"
        raise ValueError(
            f"the input of activity '{function}' cannot be decoded: {fault}, in {_shown(text)}"
        ) from exc
    return value


def activity_data(spec: FunctionSpec) -> Callable[[str | None], Mapping[str, object]]:
    """What gives binding expressions the input: by the parameter's name, as `data`, and by the
    properties of an object."""

    def data(text: str | None) -> Mapping[str, object]:
        try:
            value: object = None if text is None else json.loads(text)
        except ValueError:
            value = text
        properties = value if isinstance(value, dict) else {}
        return {"data": value, spec.trigger.name: value, **properties}

    return data


def encode_result(value: object, function: str) -> str:
    """The JSON text of an activity's result.

    Raises:
        ValueError: Something in the value is not JSON serializable and has no `to_json`. It is the
            class that the SDK's converter raises.
        Exception: What a `to_json` raised, explained, when it is none of the encoder's own kind.
    """
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        fault = write_fault(value) or str(exc)
        raise ValueError(
            f"the result of activity '{function}' is not JSON serializable: {fault}, in "
            f"{_shown(_repr(value))}"
        ) from exc
    except Exception as exc:
        explain_write(exc, value, f"the result of activity '{function}'")
        raise


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - user code, or nested too deep
        return f"a {type(value).__name__}"


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


TYPES = (
    BindingType(
        "activityTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        implicit_output=True,
    ),
)

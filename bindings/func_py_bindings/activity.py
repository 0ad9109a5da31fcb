"""The activity trigger: JSON text to argument and result to JSON text, as the SDK does it."""

from __future__ import annotations

import json

import msgspec
from azure.functions._durable_functions import df_loads

from func_py_bindings.contract import BindingType
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
        raise ValueError(
            f"the input of activity '{function}' cannot be decoded "
            f"({type(exc).__name__}: {exc}): {_shown(text)}"
        ) from exc
    return value


def encode_result(value: object, function: str) -> str:
    """The JSON text of an activity's result.

    Raises:
        ValueError: The value is not JSON serializable and has no `to_json`.
    """
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError(
            f"the result of activity '{function}' is not JSON serializable ({exc}): "
            f"{_shown(repr(value))}"
        ) from exc


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

"""JSON text as the SDK writes and reads it, without what its codec costs for plain values.

The SDK makes an encoder or decoder and reads the environment for each value. None of that matters
for a value of an exact built-in type, nor for a text that holds no envelope of a custom object.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any

from azure.functions._durable_functions import df_dumps, df_loads

JsonValue = Any

_decode = json.JSONDecoder().decode


def plain_json(value: object) -> str | None:
    """The text of a value that has the same one in all modes of the SDK; None for others."""
    if value is None:
        return "null"
    # Exact types: a subclass (an enum, say) may have a `to_json` of its own.
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return str(value)
    return None


def is_plain(text: str) -> bool:
    """Whether `decode_plain` gives what the SDK gives: the text holds no custom object."""
    return "__class__" not in text


def decode_plain(text: str) -> JsonValue:
    """The value of a text that `is_plain`; raises json.JSONDecodeError."""
    return _decode(text)


def encode(value: object) -> str:
    """The SDK's text of a value; raises what it, or the user's `to_json`, raises."""
    return plain_json(value) or str(df_dumps(value))


def decode(text: str, expected_type: type | None = None) -> JsonValue:
    """The value as the SDK reads it; raises what it, or the user's `from_json`, raises."""
    if expected_type is None and is_plain(text):
        return _decode(text)
    return df_loads(text, expected_type=expected_type)

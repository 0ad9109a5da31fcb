"""The JSON object in a trigger's payload, for binding expressions such as `{order.id}`."""

from __future__ import annotations

import json
from collections.abc import Mapping


def json_properties(payload: bytes) -> Mapping[str, object]:
    """The properties of a payload that is a JSON object, else none."""
    # Most payloads that are none are told by their first character.
    if not payload.lstrip().startswith(b"{"):
        return {}
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""The two forms of an orchestration's input: as the code's JSON text, and as stored."""

from __future__ import annotations

import json


def decode_start_input(stored: str | None) -> str | None:
    """The JSON text that `context.get_input()` decodes, from `ExecutionStarted.input`.

    Clients of the SDK send a JSON string that holds JSON; the raw HTTP API sends any JSON. So a
    JSON string is opened once when its content is JSON again; everything else is passed on as it
    is, also text that is not JSON, which `get_input()` then reports.
    """
    if stored is None or stored.lstrip()[:1] != '"':
        return stored
    try:
        inner = json.loads(stored)
        json.loads(inner)
    except (ValueError, RecursionError):
        return stored
    return str(inner)


def encode_start_input(text: str | None) -> str | None:
    """The stored form of an input that an orchestrator gave (`StartChild`, `ContinueAsNew`).

    The text is JSON already; stored, it is wrapped in a JSON string as the SDK's client does.
    Otherwise the child of a call with the input `"5"` would see the number 5.
    """
    return None if text is None else json.dumps(text)

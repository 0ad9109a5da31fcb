"""Calls of the management API and their answers, free of transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from func_py.durable.model import TraceContext
from func_py.management.projection import JsonObject

CONTINUATION_HEADER = "x-ms-continuation-token"


class NoBody:
    """Stands for an empty response body, which is not the JSON value null."""


NO_BODY = NoBody()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One call. `path` is what follows the base, decoded. Query names are lower case, each with
    all its values. `origin` is `scheme://authority` of the caller's view, for links; `url` its
    whole request URL."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    origin: str = ""
    url: str = ""
    continuation: str = ""
    trace: TraceContext | None = None

    def value(self, name: str) -> str | None:
        """The first value of a query parameter, or None; blank counts as absent."""
        values = self.query.get(name)
        return values[0] if values and values[0].strip() else None

    def flag(self, name: str, default: bool) -> bool:
        """A boolean parameter; what is neither `true` nor `false` counts as absent."""
        text = (self.value(name) or "").lower()
        return default if text not in ("true", "false") else text == "true"

    def number(self, name: str) -> float | None:
        """A number; what does not parse counts as absent."""
        try:
            return float(self.value(name) or "")
        except ValueError:
            return None

    def items(self, name: str) -> list[str]:
        """A list parameter: repeated, comma separated, or both."""
        return [
            item.strip()
            for value in self.query.get(name, ())
            for item in value.split(",")
            if item.strip()
        ]

    def time(self, name: str) -> datetime | None:
        """A point in time, ISO 8601; without offset it is UTC. Unparsable counts as absent."""
        text = self.value(name)
        if text is None:
            return None
        try:
            parsed = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            return None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer. `body` is a JSON value, or NO_BODY."""

    status: int
    body: Any = NO_BODY
    headers: Mapping[str, str] = field(default_factory=dict)


NOT_FOUND = ApiResponse(404)
ACCEPTED = ApiResponse(202)


def bad_request(message: str, *, error: Exception | None = None) -> ApiResponse:
    body: JsonObject = {"Message": message, "ExceptionMessage": str(error or message)}
    if error is not None:
        body["ExceptionType"] = type(error).__name__
    return ApiResponse(400, body)


def page_size(top: float | None) -> int:
    return int(top) if top is not None and top >= 1 else 100


def is_json(content_type: str) -> bool:
    return content_type.split(";")[0].strip().lower() == "application/json"


def json_text(body: bytes) -> str | None:
    """The body as stored text when it is one JSON value; None when it is empty or is not."""
    if not body.strip():
        return None
    try:
        msgspec.json.decode(body)
        return body.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested too deep
        return None

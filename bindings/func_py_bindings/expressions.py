"""Binding expressions: texts such as `orders/{id}-{rand-guid}.json`, filled in per invocation.

A text is parsed once, when functions are loaded, and rendered with the data of each trigger.
`%NAME%` is none of this module's business: app settings are resolved before.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_EXPRESSION = re.compile(r"(?P<path>[^:]+)(?::(?P<format>.+))?", re.DOTALL)
_FIRST = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LATER = re.compile(r"[\w-]+", re.ASCII)
_RANDOM_GUID = "rand-guid"
_DEFAULT_TIME = "yyyy-MM-ddTHH-mm-ssK"
_TIME_PART = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|([yMdHhmsfFtKz])\1*|.", re.DOTALL)
_TIME_CODES = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "dddd": "%A", "ddd": "%a",
    "dd": "%d", "HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "tt": "%p",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expression:
    """One `{path:format}`. `path` has at least one step; an empty `format` is the default one."""

    path: tuple[str, ...]
    format: str

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions. Made by `parse_template`."""

    parts: tuple[str | Expression, ...]

    @property
    def names(self) -> frozenset[str]:
        """First steps of the expressions, in lower case."""
        return frozenset(p.path[0].lower() for p in self.parts if isinstance(p, Expression))

    def render(self, data: Mapping[str, object], function: str, now: datetime) -> str:
        """The text for one invocation.

        Args:
            data: The trigger's binding data; names match in any case and win over built-in ones.
            function: Name of the function, for `{sys.MethodName}`.
            now: The time, aware, for `{DateTime}` and `{sys.UtcNow}`.

        Raises:
            ValueError: An expression has no value, or its format fits no value of its kind.
        """
        return "".join(
            part if isinstance(part, str) else _render(part, data, function, now)
            for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Parse a text with expressions; `{{` and `}}` are literal braces.

    Raises:
        ValueError: Braces do not pair, or what is between them is no expression.
    """
    return Template(tuple(_parts(text)))


def _parts(text: str) -> Iterator[str | Expression]:
    literal = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char in "{}" and text[position + 1 : position + 2] == char:
            literal += char
            position += 2
        elif char == "{":
            end = text.find("}", position)
            if end < 0:
                raise ValueError(f"the '{{' at position {position} of '{text}' has no closing '}}'")
            if literal:
                yield literal
                literal = ""
            yield _expression(text[position + 1 : end], text)
            position = end + 1
        elif char == "}":
            raise ValueError(f"the '}}' at position {position} of '{text}' has no opening '{{'")
        else:
            literal += char
            position += 1
    if literal:
        yield literal


def _expression(inner: str, text: str) -> Expression:
    match = _EXPRESSION.fullmatch(inner.strip())
    if match is None:
        raise ValueError(f"'{{{inner}}}' in '{text}' is no binding expression")
    first, *later = match["path"].split(".")
    is_first = first.lower() == _RANDOM_GUID or _FIRST.fullmatch(first)
    if not is_first or not all(_LATER.fullmatch(step) for step in later):
        raise ValueError(f"'{{{inner}}}' in '{text}' is no binding expression")
    return Expression((first, *later), match["format"] or "")


def _render(
    expression: Expression, data: Mapping[str, object], function: str, now: datetime
) -> str:
    found, value = _look_up(data, expression.path)
    if not found:
        found, value = _built_in(expression.path, function, now)
    if not found:
        raise ValueError(f"No value for named parameter '{expression}'.")
    return _format(value, expression)


def _look_up(data: object, path: tuple[str, ...]) -> tuple[bool, object]:
    for step in path:
        if not isinstance(data, Mapping):
            return False, None
        key = step if step in data else next((k for k in data if k.lower() == step.lower()), None)
        if key is None:
            return False, None
        data = data[key]
    return True, data


def _built_in(path: tuple[str, ...], function: str, now: datetime) -> tuple[bool, object]:
    match tuple(step.lower() for step in path):
        case ("rand-guid",) | ("sys", "randguid"):
            return True, uuid.uuid4()
        case ("datetime",) | ("sys", "utcnow"):
            return True, now.astimezone(UTC)
        case ("sys", "methodname"):
            return True, function
        case _:
            return False, None


def _format(value: object, expression: Expression) -> str:
    if isinstance(value, datetime):
        return _format_time(value, expression.format or _DEFAULT_TIME)
    if isinstance(value, uuid.UUID):
        return _format_guid(value, expression)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    return json.dumps(value)


def _format_guid(value: uuid.UUID, expression: Expression) -> str:
    match expression.format.upper():
        case "" | "D":
            return str(value)
        case "N":
            return value.hex
        case "B":
            return f"{{{value}}}"
        case "P":
            return f"({value})"
        case _:
            raise ValueError(f"'{expression.format}' of '{{{expression}}}' is no format of a GUID.")


def _format_time(value: datetime, pattern: str) -> str:
    """Format a time by a .NET pattern, such as `yyyy/MM/dd`."""
    return "".join(_time_part(value, match[0]) for match in _TIME_PART.finditer(pattern))


def _time_part(value: datetime, part: str) -> str:
    if part in _TIME_CODES:
        return value.strftime(_TIME_CODES[part])
    match part[0]:
        case "'" | '"' if len(part) > 1:
            return part[1:-1]
        case "\\" if len(part) > 1:
            return part[1]
        case "y":
            return f"{value.year:0{len(part)}d}"
        case "M" | "d" | "H" | "m" | "s" if len(part) == 1:
            field = {"M": "month", "d": "day", "H": "hour", "m": "minute", "s": "second"}[part]
            return str(getattr(value, field))
        case "h" if len(part) == 1:
            return str(value.hour % 12 or 12)
        case "f" | "F" if len(part) <= 7:
            return f"{value.microsecond:06d}0"[: len(part)]
        case "K" if len(part) == 1:
            return "Z" if value.utcoffset() == UTC.utcoffset(None) else value.strftime("%z")
        case _:
            return part

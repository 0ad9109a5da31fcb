"""Constraints of route parameters: `int`, `guid`, `range(1,5)`, … as ASP.NET Core reads them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

Check = Callable[[str], bool]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_ALPHA = re.compile("[A-Za-z]*")
_FILE = re.compile(r".*\.[^.]+")


def constraint(text: str) -> Check:
    """The check for one constraint, such as `int` or `length(2,5)`.

    Raises:
        ValueError: No such constraint, or wrong arguments.
    """
    name, has_arguments, rest = text.partition("(")
    name = name.strip().lower()
    if not has_arguments:
        check = _PLAIN.get(name)
        if check is None:
            raise ValueError(f"the constraint '{text}' is unknown; known: {_known()}")
        return check
    if not rest.endswith(")"):
        raise ValueError(f"the constraint '{text}' lacks its ')'")
    argument = rest[:-1]
    if name == "regex":
        return _regex(argument)
    factory = _WITH_NUMBERS.get(name)
    if factory is None:
        raise ValueError(f"the constraint '{name}' is unknown; known: {_known()}")
    try:
        return factory([int(part) for part in argument.split(",")])
    except (ValueError, IndexError) as exc:
        raise ValueError(f"the constraint '{text}' has wrong arguments") from exc


def _regex(pattern: str) -> Check:
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as exc:
        raise ValueError(f"the regex '{pattern}' does not compile: {exc}") from exc
    return lambda value: compiled.search(value) is not None


def _is_integer(bits: int) -> Check:
    limit = 1 << (bits - 1)

    def check(value: str) -> bool:
        return _INTEGER.fullmatch(value) is not None and -limit <= int(value) < limit

    return check


_is_long = _is_integer(64)


def _is_float(value: str) -> bool:
    try:
        float(value.replace(",", ""))
    except ValueError:
        return False
    return "_" not in value


def _is_decimal(value: str) -> bool:
    try:
        return Decimal(value.replace(",", "")).is_finite() and "_" not in value
    except InvalidOperation:
        return False


def _is_guid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _is_datetime(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _length(numbers: list[int]) -> Check:
    low, high = numbers[0], numbers[-1]
    return lambda value: low <= len(value) <= high


def _range(numbers: list[int]) -> Check:
    low, high = numbers
    return lambda value: _is_long(value) and low <= int(value) <= high


_PLAIN: Mapping[str, Check] = {
    "int": _is_integer(32),
    "long": _is_long,
    "bool": lambda value: value.lower() in ("true", "false"),
    "datetime": _is_datetime,
    "decimal": _is_decimal,
    "double": _is_float,
    "float": _is_float,
    "guid": _is_guid,
    "alpha": lambda value: _ALPHA.fullmatch(value) is not None,
    "required": bool,
    "file": lambda value: _FILE.fullmatch(value.rpartition("/")[2]) is not None,
    "nonfile": lambda value: _FILE.fullmatch(value.rpartition("/")[2]) is None,
}

_WITH_NUMBERS: Mapping[str, Callable[[list[int]], Check]] = {
    "minlength": lambda numbers: lambda value: len(value) >= numbers[0],
    "maxlength": lambda numbers: lambda value: len(value) <= numbers[0],
    "length": _length,
    "min": lambda numbers: lambda value: _is_long(value) and int(value) >= numbers[0],
    "max": lambda numbers: lambda value: _is_long(value) and int(value) <= numbers[0],
    "range": _range,
}


def _known() -> str:
    return ", ".join([*_PLAIN, *(f"{name}(…)" for name in _WITH_NUMBERS), "regex(…)"])

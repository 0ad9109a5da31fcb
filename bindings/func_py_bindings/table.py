"""Table inputs and outputs: entities to JSON text, JSON values to entities.

Knows no client of the service: the host reads and writes what these functions make.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from func_py_bindings.contract import BindingSpec, BindingType
from func_py_bindings.expressions import parse_template

TYPE = "table"
DEFAULT_TAKE = 50
"""Entities of an input that does not say how many."""

PARTITION, ROW = "PartitionKey", "RowKey"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")
_TEXTS = ("tableName", "partitionKey", "rowKey", "filter")


def entities_json(entities: list[Mapping[str, object]]) -> str:
    """The JSON text that an input gives: a list, also of the one entity that two keys name."""
    return json.dumps(
        [{key: _plain(value) for key, value in entity.items()} for entity in entities]
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):  # The SDK's value with its type, as 64 bit integers have it.
        return value[0]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def entities_of(value: object, partition_key: str, row_key: str) -> list[dict[str, Any]]:
    """The entities that a value of an output means: an object, or a list of them, or their JSON.

    Objects and lists within one are kept as JSON text; what is null is left out.

    Args:
        value: What the function set.
        partition_key: Of entities that have none of their own; may be empty.
        row_key: The same of row keys.

    Raises:
        TypeError: The value can be no entity.
        ValueError: It is no JSON, or a key is missing.
    """
    if isinstance(value, (str, bytes, bytearray)):
        try:
            value = json.loads(value)
        except ValueError as exc:
            raise ValueError(f"a table output takes JSON text: {exc}") from exc
    found = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            found += entities_of(item, partition_key, row_key)
        elif isinstance(item, dict):
            found.append(_entity(item, {PARTITION: partition_key, ROW: row_key}))
        else:
            raise TypeError(
                f"a value of type '{type(item).__name__}' can be no entity: set an object, a list "
                "of objects, or the JSON text of either"
            )
    return found


def _entity(item: Mapping[str, object], keys: Mapping[str, str]) -> dict[str, Any]:
    entity = {
        key: json.dumps(value) if isinstance(value, (dict, list)) else value
        for key, value in item.items()
        if value is not None
    }
    for key, default in keys.items():
        value = entity.setdefault(key, default)
        if not isinstance(value, str) or (not value and key not in item):
            raise ValueError(f"an entity needs the text '{key}', in it or in the binding")
    return entity


def table_name_problem(name: str) -> str | None:
    """Why a table cannot be called so, or None."""
    if _NAME.fullmatch(name):
        return None
    return f"'{name}' can be no name of a table: 3 to 63 letters and digits, a letter first."


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    if not binding.get("tableName"):
        yield "it has no tableName."
        return
    for key in _TEXTS:
        text = str(binding.get(key) or "")
        try:
            is_fixed = not parse_template(text).names
        except ValueError as exc:
            yield f"{key}: {exc}."
            continue
        if key == "tableName" and is_fixed and (problem := table_name_problem(text)):
            yield f"{key}: {problem}"
    take = binding.get("take")
    if take is not None and not str(take).isdecimal():
        yield f"take: expected a number, found '{take}'."


TYPES = (
    BindingType(TYPE, directions=frozenset({"in", "out"}), implicit_output=True, check=_check),
)

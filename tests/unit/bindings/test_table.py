"""Table bindings: entities of values, JSON of entities."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from func_py_bindings.contract import BindingSpec
from func_py_bindings.registry import default_registry
from func_py_bindings.table import entities_json, entities_of

ONE = {"PartitionKey": "p", "RowKey": "r", "n": 1}


@pytest.mark.parametrize("value", [ONE, json.dumps(ONE), json.dumps(ONE).encode(), [ONE]])
def test_value_becomes_entities(value: object) -> None:
    assert entities_of(value, "", "") == [ONE]


def test_keys_of_the_binding_are_for_entities_without_their_own() -> None:
    assert entities_of([{"n": 1}, ONE], "here", "1") == [
        {"n": 1, "PartitionKey": "here", "RowKey": "1"},
        ONE,
    ]


def test_what_is_deep_is_kept_as_text_and_null_is_left_out() -> None:
    (entity,) = entities_of({**ONE, "deep": {"a": [1]}, "null": None}, "", "")
    assert entity == {**ONE, "deep": '{"a": [1]}'}


@pytest.mark.parametrize(
    ("value", "error", "problem"),
    [
        ("{", ValueError, "takes JSON text"),
        ({"PartitionKey": "p"}, ValueError, "needs the text 'RowKey'"),
        ({**ONE, "RowKey": 1}, ValueError, "needs the text 'RowKey'"),
        ([1], TypeError, "can be no entity"),
    ],
)
def test_value_that_can_be_no_entity_is_refused(
    value: object, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        entities_of(value, "", "")


def test_entities_become_a_list_of_json_values() -> None:
    values: dict[str, object] = {
        "at": datetime(2030, 1, 1, tzinfo=UTC),
        "raw": b"\xff",
        "id": UUID(int=1),
        "big": (2**40, "Edm.Int64"),
        "ok": True,
    }
    assert json.loads(entities_json([values])) == [
        {
            "at": "2030-01-01T00:00:00+00:00",
            "raw": "/w==",
            "id": "00000000-0000-0000-0000-000000000001",
            "big": 2**40,
            "ok": True,
        }
    ]


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({}, "it has no tableName."),
        ({"tableName": "a_b"}, "can be no name of a table"),
        ({"tableName": "T", "filter": "{"}, "filter: "),
        ({"tableName": "Table", "take": "x"}, "take: expected a number"),
    ],
)
def test_mistakes_in_declarations_are_told(properties: dict[str, str], problem: str) -> None:
    found = default_registry().find("table")
    assert found is not None
    problems = found.check(BindingSpec("table", "t", "in", properties), lambda: None)
    assert any(problem in sentence for sentence in problems)

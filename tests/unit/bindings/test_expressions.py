"""Binding expressions: grammar, values, built-in names, errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from func_py_bindings.expressions import parse_template

NOW = datetime(2026, 2, 3, 14, 5, 6, 789000, tzinfo=UTC)


def render(text: str, **data: object) -> str:
    return parse_template(text).render(data, "tick", NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a/{id}.json", "a/7.json"),
        ("{ID}{id}", "77"),
        ("{{{id}}}", "{7}"),
        ("{user.name}", "Ada"),
        ("{USER.x-id}", "5"),
        ("{flag}", "True"),
        ("{nothing}", ""),
        ("{list}", "[1, 2]"),
    ],
)
def test_names_are_found_in_any_case_and_along_dots(text: str, expected: str) -> None:
    data = {
        "id": 7,
        "user": {"Name": "Ada", "x-id": "5"},
        "flag": True,
        "nothing": None,
        "list": [1, 2],
    }

    assert render(text, **data) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{DateTime}", "2026-02-03T14-05-06Z"),
        ("{datetime:yyyy/MM/dd}", "2026/02/03"),
        ("{sys.UtcNow:d.M.yy h:mm tt}", "3.2.26 2:05 PM"),
        ("{DateTime:HH 'o''clock' fff}", "14 oclock 789"),
        ("{sys.MethodName}", "tick"),
    ],
)
def test_time_and_function_are_built_in(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("{rand-guid}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("{rand-guid:N}", "[0-9a-f]{32}"),
        ("{sys.RandGuid:B}", r"\{[0-9a-f-]{36}\}"),
    ],
)
def test_every_random_guid_is_a_new_one(text: str, pattern: str) -> None:
    first, second = render(f"{text} {text}").split(" ")

    assert re.fullmatch(pattern, first)
    assert first != second


def test_data_wins_over_built_in_names() -> None:
    assert render("{datetime}", DateTime="mine") == "mine"


def test_names_are_known_before_the_first_invocation() -> None:
    assert parse_template("{Name}.{ext} {user.id}").names == {"name", "ext", "user"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a{", "the '{' at position 1 of 'a{' has no closing '}'"),
        ("a}", "the '}' at position 1 of 'a}' has no opening '{'"),
        ("{}", "'{}' in '{}' is no binding expression"),
        ("{1a}", "'{1a}' in '{1a}' is no binding expression"),
        ("{a-b}", "'{a-b}' in '{a-b}' is no binding expression"),
        ("{a..b}", "'{a..b}' in '{a..b}' is no binding expression"),
    ],
)
def test_what_is_no_expression_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_template(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{missing}", "No value for named parameter 'missing'."),
        ("{id.deeper}", "No value for named parameter 'id.deeper'."),
        ("{rand-guid:Q}", "'Q' of '{rand-guid}' is no format of a GUID."),
    ],
)
def test_an_expression_without_a_value_fails_the_invocation(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        render(text, id=7)

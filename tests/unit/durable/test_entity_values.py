"""Entity ids and requests, as they are written down and read back."""

from __future__ import annotations

import json

import pytest

from func_py.durable.model import (
    EntityRequest,
    decode_request,
    encode_request,
    entity_id,
    entity_id_problem,
    split_entity_id,
)


def test_an_entity_id_ignores_the_case_of_the_name_only() -> None:
    assert entity_id("Counter", "MyKey") == "@counter@MyKey"


@pytest.mark.parametrize(
    ("instance_id", "parts"),
    [
        ("@counter@k", ("counter", "k")),
        ("@counter@", ("counter", "")),
        ("@counter@a@b", ("counter", "a@b")),
        ("@counter", None),
        ("@@k", None),
        ("counter@k", None),
    ],
)
def test_an_entity_id_is_split_at_its_second_at(
    instance_id: str, parts: tuple[str, str] | None
) -> None:
    assert split_entity_id(instance_id) == parts


@pytest.mark.parametrize(
    ("name", "key", "word"),
    [
        ("", "k", "empty"),
        ("a@b", "k", "@"),
        ("counter", "a/b", "must not contain /"),
        ("counter", "a\n", "control"),
        ("counter", "k" * 256, "256"),
        ("counter", "\ud800", "Unicode"),
    ],
)
def test_an_unusable_entity_id_is_told_why(name: str, key: str, word: str) -> None:
    assert word in (entity_id_problem(name, key) or "")


@pytest.mark.parametrize("key", ["", "k", "a@b", "ÄÖ"])
def test_a_key_may_be_empty_and_hold_an_at(key: str) -> None:
    assert entity_id_problem("counter", key) is None


def test_a_request_has_the_members_that_other_hosts_know() -> None:
    request = EntityRequest(
        id="r1",
        operation="add",
        is_signal=True,
        input='"5"',
        parent="caller",
        parent_execution="e1",
    )
    assert json.loads(encode_request(request)) == {
        "id": "r1",
        "op": "add",
        "signal": True,
        "input": '"5"',
        "parent": "caller",
        "parentExecution": "e1",
    }


def test_a_request_of_another_host_is_read_whatever_else_it_holds() -> None:
    text = '{"op": "get", "id": "r1", "parent": "caller", "requestTime": "2024", "lockset": []}'
    request = decode_request(text)
    assert request == EntityRequest(id="r1", operation="get", parent="caller")
    assert request.is_answered


@pytest.mark.parametrize("text", [None, "", "plain", "[]", '{"op": 1}'])
def test_what_is_no_request_is_none(text: str | None) -> None:
    assert decode_request(text) is None

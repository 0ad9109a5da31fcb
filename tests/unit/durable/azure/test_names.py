"""Names, hashes and keys of a hub in Azure Storage."""

from __future__ import annotations

import pytest

from func_py.durable.model.ids import fnv1a32
from func_py.durable.storage.azure.app_lease import app_lease_id
from func_py.durable.storage.azure.names import (
    HubNames,
    escape_key,
    hub_name_problem,
    unescape_key,
)


@pytest.mark.parametrize(
    ("instance_id", "value"),
    [
        ("", 0x811C9DC5),
        ("a", 0xE40C292C),
        ("foobar", 0xBF9CF968),
        ("abc", 0x1A47E90B),
        ("ABC", 0x5C842F6B),
        ("@counter@c1", 0x0E604803),
        ("order/42", 0x6CCBED52),
        ("3f2504e04f8911d39a0c0305e82c3301", 0xDF64AE88),
        ("héllo", 0x4AA48540),
        ("日本", 0x9F26EE51),
        ("parent:0001", 0xB52B98C2),
    ],
)
def test_instances_are_hashed_as_dotnet_does(instance_id: str, value: int) -> None:
    assert fnv1a32(instance_id) == value


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("order/42", "order^042"),
        ("a^b", "a^^b"),
        ("x\\y#z?", "x^1y^2z^3"),
        ("tab\there", "tab^Éhere"),
        ("\x7f", "^Ŀ"),
        ("\x9f", "^ş"),
        ("50% 'of' a+b", "50% 'of' a+b"),
    ],
)
def test_keys_are_escaped_and_read_back(text: str, key: str) -> None:
    assert escape_key(text) == key
    assert unescape_key(key) == text


def test_an_unknown_escape_stands_for_its_own_character() -> None:
    assert unescape_key("^x") == "x"


def test_queues_are_named_in_lower_case_and_tables_are_not() -> None:
    names = HubNames("MyHub")
    assert names.control(7) == "myhub-control-07"
    assert names.work_items == "myhub-workitems"
    assert names.large_messages == "myhub-largemessages"
    assert (names.app_lease, names.app_lease_info) == ("myhub-applease", "myhub-appleaseinfo")
    assert (names.history, names.instances) == ("MyHubHistory", "MyHubInstances")
    assert names.partitions == "MyHubPartitions"


@pytest.mark.parametrize("name", ["ab", "1hub", "my-hub", "x" * 46, ""])
def test_what_cannot_name_a_hub_is_refused(name: str) -> None:
    assert hub_name_problem(name)


def test_the_app_lease_is_made_of_the_app_s_name() -> None:
    assert app_lease_id("myapp") == "1312a8a6-0000-0000-0000-000000000000"

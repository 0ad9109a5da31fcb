"""How partitions are shared among hosts: every host computes the same, and little moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from func_py.durable.engine.balance import candidates, difference_of, fair_share
from func_py.durable.storage.base import HostRecord

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def hosts(count: int) -> list[HostRecord]:
    """Hosts that run functions, oldest first."""
    return [
        HostRecord(
            host_id=f"host-{number}",
            started_at=NOON + timedelta(seconds=number),
            functions=["activity:a"],
        )
        for number in range(count)
    ]


def shares(partition_count: int, among: Sequence[HostRecord]) -> list[int]:
    return [fair_share(partition_count, among, host.host_id) for host in among]


@pytest.mark.parametrize("partition_count", [1, 4, 16])
def test_every_partition_is_for_one_host_and_no_host_has_two_more_than_another(
    partition_count: int,
) -> None:
    for count in range(1, 20):
        found = shares(partition_count, hosts(count))
        assert sum(found) == partition_count
        assert max(found) - min(found) <= 1


def test_nobody_gets_more_when_a_host_comes_and_nobody_less_when_the_youngest_goes() -> None:
    for before, after in pairwise(shares(16, hosts(count)) for count in range(1, 20)):
        assert all(old >= new for old, new in zip(before, after, strict=False))


def test_commands_and_hosts_that_end_have_no_share() -> None:
    looker = HostRecord(host_id="a command", started_at=NOON - timedelta(hours=1))
    both = [*hosts(1), looker]

    assert candidates(both) == ["host-0"]
    assert shares(4, both) == [4, 0]


def test_where_nobody_runs_functions_whoever_asks_may_have_all() -> None:
    assert fair_share(4, [HostRecord(host_id="client", started_at=NOON)], "client") == 4


def test_a_difference_of_functions_is_told_in_words_and_not_at_length() -> None:
    many = [f"activity:{letter}" for letter in "abcdefg"]

    assert difference_of(many, many) == ""
    assert difference_of(["entity:e"], ["activity:a"]) == (
        "only there: activity:a; only here: entity:e"
    )
    assert difference_of(many, []).endswith("activity:e, …")

"""Delays before a dead child is started again."""

from __future__ import annotations

from func_py.supervisor.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(first_s=1, most_s=5)

    assert [backoff.delay_s(0) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_healthy_child_starts_the_count_anew() -> None:
    backoff = Backoff(first_s=1, healthy_s=30)
    for _ in range(3):
        backoff.delay_s(0)

    assert backoff.delay_s(30) == 1
    assert backoff.delay_s(0) == 2

"""The table of crash points has every one of them, and names tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from faults.scenarios import SCENARIOS
from faults.table import CRASH_POINTS, Row

_TESTS = Path(__file__).parents[1]

_COUNTS = {"C": 9, "T": 13, "N": 5, "A": 9, "M": 4, "S": 7, "P": 2, "R": 4, "E": 13, "H": 10}


def test_no_crash_point_is_left_out() -> None:
    wanted = [f"{kind}{number}" for kind, n in _COUNTS.items() for number in range(1, n + 1)]

    assert list(CRASH_POINTS) == wanted


@pytest.mark.parametrize("name", CRASH_POINTS)
def test_each_crash_point_has_a_test_that_exists_or_a_reason(name: str) -> None:
    row: Row = CRASH_POINTS[name]

    assert row.tests or row.why
    for test in row.tests:
        path, _, function = test.partition("::")
        function, _, scenario = function.rstrip("]").partition("[")
        tree = ast.parse((_TESTS / path).read_text())
        found = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in found, f"{path} has no {function}"
        assert not scenario or scenario in SCENARIOS

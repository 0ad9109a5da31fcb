# mypy: disable-error-code="untyped-decorator"
"""Names and filters made of what a trigger says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import azure.functions as func
import pytest
from support.apps import functions

from func_py.clock import RealClock
from func_py.storage.naming import FilterNaming
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation


@dataclass
class Call:
    """As much of an invocation as a name is made of."""

    binding_data: dict[str, object] = field(default_factory=dict)


def specification() -> FunctionSpec:
    app = func.FunctionApp()

    @app.route()
    def find(req: func.HttpRequest) -> str:
        return ""

    return functions(app)["find"]


def rendered(text: str, **data: object) -> str:
    binding = BindingSpec("table", "rows", "in", {"filter": text})
    naming = FilterNaming(specification(), binding, "filter", RealClock())
    return naming.name(cast("Invocation", Call(data)))


def test_what_is_filled_into_quotes_cannot_leave_them() -> None:
    hostile = "x' or Owner ne '"
    assert rendered("Owner eq '{owner}'", owner=hostile) == "Owner eq 'x'' or Owner ne '''"
    assert rendered("A eq '{a}' and B eq '{b}'", a="'", b="'") == "A eq '''' and B eq ''''"


@pytest.mark.parametrize("value", ["7", "-1.5", "9L", "true", 12])
def test_numbers_and_truth_values_stand_without_quotes(value: object) -> None:
    assert rendered("N ge {n}", n=value) == f"N ge {value}"


@pytest.mark.parametrize("value", ["1 or 1 eq 1", "x", "", "1)"])
def test_anything_else_without_quotes_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"must stand in quotes: '\{n\}'"):
        rendered("N ge {n}", n=value)

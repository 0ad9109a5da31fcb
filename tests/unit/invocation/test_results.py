# mypy: disable-error-code="untyped-decorator"
"""Returned values of functions whose triggers take none."""

from __future__ import annotations

import azure.functions as func
import pytest
from support.apps import functions

from func_py.invocation.results import no_result


def test_value_that_nothing_takes_is_a_mistake() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="t", schedule="0 * * * * *")
    def tick(t: func.TimerRequest) -> None: ...

    finish = no_result(functions(app)["tick"])
    assert finish(None, {}) is None
    with pytest.raises(TypeError, match=r"'tick' without a \$return binding .* type 'int'"):
        finish(5, {})

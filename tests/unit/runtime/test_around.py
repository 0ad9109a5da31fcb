"""Which settings put something around user code."""

from __future__ import annotations

import pytest

from func_py.invocation.extensions import with_extensions
from func_py.invocation.tracing import with_trace_context
from func_py.runtime.around import code_wrappers


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"PYTHON_ENABLE_OPENTELEMETRY": "false"}, []),
        ({"PYTHON_ENABLE_OPENTELEMETRY": "True"}, [with_trace_context]),
        ({"PYTHON_ENABLE_WORKER_EXTENSIONS": "1"}, [with_extensions]),
        (
            {"PYTHON_ENABLE_OPENTELEMETRY": "1", "PYTHON_ENABLE_WORKER_EXTENSIONS": "1"},
            [with_extensions, with_trace_context],
        ),
    ],
)
def test_nothing_runs_around_user_code_unless_it_is_enabled(
    environ: dict[str, str], expected: list[object]
) -> None:
    assert code_wrappers(environ) == expected

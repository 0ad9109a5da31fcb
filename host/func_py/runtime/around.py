"""What the environment puts around user code: traces and worker extensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from func_py.invocation import Around
from func_py.invocation.extensions import extensions_loaded, with_extensions
from func_py.invocation.tracing import with_trace_context
from func_py_bindings.contract import FunctionSpec

_TRACING = "PYTHON_ENABLE_OPENTELEMETRY"
_EXTENSIONS = "PYTHON_ENABLE_WORKER_EXTENSIONS"


def code_wrappers(environ: Mapping[str, str]) -> list[Around]:
    """For the invoker; the outermost comes last."""
    wrappers: list[Around] = []
    if _is_on(environ, _EXTENSIONS):
        wrappers.append(with_extensions)
    if _is_on(environ, _TRACING):
        wrappers.append(with_trace_context)
    return wrappers


def tell_extensions(functions: Iterable[FunctionSpec], environ: Mapping[str, str]) -> None:
    """Tell worker extensions what was loaded, where they are enabled."""
    if _is_on(environ, _EXTENSIONS):
        extensions_loaded(functions)


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() in ("1", "true")

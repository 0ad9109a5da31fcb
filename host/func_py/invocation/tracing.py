"""Joins spans of user code to the trace of its caller (`PYTHON_ENABLE_OPENTELEMETRY`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from func_py.invocation.context import current_invocation
from func_py_bindings.contract import FunctionSpec, is_coroutine_callable

_propagator = TraceContextTextMapPropagator()


def with_trace_context(spec: FunctionSpec, call: Callable[..., Any]) -> Callable[..., Any]:
    """Run `call` with the invocation's W3C trace context as the current one of OpenTelemetry."""
    if is_coroutine_callable(call):

        @functools.wraps(call)
        async def traced(**arguments: Any) -> Any:
            with _attached():
                return await call(**arguments)

        return traced

    @functools.wraps(call)
    def traced_plain(**arguments: Any) -> Any:
        with _attached():
            return call(**arguments)

    return traced_plain


@contextmanager
def _attached() -> Iterator[None]:
    invocation = current_invocation.get()
    assert invocation is not None, "user code runs within an invocation"
    trace = invocation.trace_context
    carrier = {"traceparent": trace.trace_parent, "tracestate": trace.trace_state}
    token = otel_context.attach(_propagator.extract(carrier))
    try:
        yield
    finally:
        otel_context.detach(token)

"""Spans of OpenTelemetry around user code, and user code joined to the trace of its caller."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from func_py.durable.model import ActivityTask, EntityBatch
from func_py.invocation.context import InvocationContext, current_invocation
from func_py_bindings.contract import FunctionSpec, is_coroutine_callable

_propagator = TraceContextTextMapPropagator()

_KINDS = {
    "httptrigger": (SpanKind.SERVER, "http"),
    "timertrigger": (SpanKind.INTERNAL, "timer"),
    "queuetrigger": (SpanKind.CONSUMER, "pubsub"),
    "blobtrigger": (SpanKind.CONSUMER, "datasource"),
    "activitytrigger": (SpanKind.SERVER, "other"),
    "entitytrigger": (SpanKind.SERVER, "other"),
}
"""Trigger type to the kind of span and the `faas.trigger` of the semantic conventions."""


def with_trace_context(spec: FunctionSpec, call: Callable[..., Any]) -> Callable[..., Any]:
    """Run `call` with the invocation's W3C trace context as the current one of OpenTelemetry."""
    return _wrapped(call, lambda _: _attached())


def with_spans(tracer: Tracer) -> Callable[[FunctionSpec, Callable[..., Any]], Callable[..., Any]]:
    """For the invoker: a span around the code of every function, child of the caller's.

    What the code does belongs to it: it is current there, and what `context.trace_context` gives.
    An exception, or an HTTP status from 500 on, makes it an error.
    """

    def wrap(spec: FunctionSpec, call: Callable[..., Any]) -> Callable[..., Any]:
        return _wrapped(call, lambda arguments: _spanned(tracer, spec, arguments))

    return wrap


def _wrapped(
    call: Callable[..., Any],
    around: Callable[[Mapping[str, Any]], AbstractContextManager[Callable[[object], None]]],
) -> Callable[..., Any]:
    """`around` makes, of the arguments, a context manager that yields what is told the result."""
    if is_coroutine_callable(call):

        @functools.wraps(call)
        async def wrapped(**arguments: Any) -> Any:
            with around(arguments) as tell:
                result = await call(**arguments)
                tell(result)
                return result

        return wrapped

    @functools.wraps(call)
    def wrapped_plain(**arguments: Any) -> Any:
        with around(arguments) as tell:
            result = call(**arguments)
            tell(result)
            return result

    return wrapped_plain


@contextmanager
def _attached() -> Iterator[Callable[[object], None]]:
    token = otel_context.attach(_context_of(_invocation()))
    try:
        yield lambda _: None
    finally:
        otel_context.detach(token)


@contextmanager
def _spanned(
    tracer: Tracer, spec: FunctionSpec, arguments: Mapping[str, Any]
) -> Iterator[Callable[[object], None]]:
    invocation = _invocation()
    kind, trigger = _KINDS.get(spec.trigger.type.lower(), (SpanKind.INTERNAL, "other"))
    span = tracer.start_span(
        _name(spec, invocation, arguments),
        # A trace that nobody began is not given on: the span begins one.
        context=_context_of(invocation) if invocation.has_caller else otel_context.Context(),
        kind=kind,
        attributes={
            "faas.name": spec.name,
            "faas.trigger": trigger,
            "faas.invocation_id": invocation.invocation_id,
            **_attributes(spec, invocation, arguments),
        },
    )
    carrier: dict[str, str] = {}
    current = set_span_in_context(span)
    _propagator.inject(carrier, current)
    invocation.continue_trace(carrier.get("traceparent", ""), carrier.get("tracestate", ""))
    token = otel_context.attach(current)
    try:
        yield lambda result: _tell(span, result)
    except BaseException as error:
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        raise
    finally:
        otel_context.detach(token)
        span.end()


def _invocation() -> InvocationContext:
    invocation = current_invocation.get()
    assert invocation is not None, "user code runs within an invocation"
    return invocation


def _context_of(invocation: InvocationContext) -> otel_context.Context:
    trace = invocation.trace_context
    carrier = {"traceparent": trace.trace_parent, "tracestate": trace.trace_state}
    return _propagator.extract(carrier)


def _name(spec: FunctionSpec, invocation: InvocationContext, arguments: Mapping[str, Any]) -> str:
    cause = invocation.cause
    if isinstance(cause, ActivityTask):
        return f"activity:{cause.name}"
    if isinstance(cause, EntityBatch):
        return f"entity:{spec.name}"
    method = getattr(arguments.get(spec.trigger.name), "method", None)
    if spec.trigger.type.lower() == "httptrigger" and isinstance(method, str):
        return f"{method} {_route(spec)}"
    return spec.name


def _attributes(
    spec: FunctionSpec, invocation: InvocationContext, arguments: Mapping[str, Any]
) -> dict[str, str | int]:
    cause = invocation.cause
    if isinstance(cause, ActivityTask):
        return {
            "durabletask.type": "activity",
            "durabletask.task.name": cause.name,
            "durabletask.task.instance_id": cause.instance_id,
            "durabletask.task.execution_id": cause.execution_id,
            "durabletask.task.task_id": cause.task_id,
        }
    if isinstance(cause, EntityBatch):
        return {
            "durabletask.type": "entity",
            "durabletask.task.name": cause.name,
            "durabletask.task.instance_id": f"@{cause.name.lower()}@{cause.key}",
            "durabletask.entity.operations": len(cause.operations),
        }
    request = arguments.get(spec.trigger.name)
    method = getattr(request, "method", None)
    if spec.trigger.type.lower() != "httptrigger" or not isinstance(method, str):
        return {}
    # The address without its query, where keys travel.
    url = str(getattr(request, "url", "")).partition("?")[0]
    return {"http.request.method": method, "http.route": _route(spec), "url.full": url}


def _route(spec: FunctionSpec) -> str:
    return str(spec.trigger.get("route") or spec.name)


def _tell(span: Span, result: object) -> None:
    status = getattr(result, "status_code", None)
    if isinstance(status, int):
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)

"""Distributed traces: who exports spans, the host's own tracer, spans of whole orchestrations.

There are none, and nothing costs anything, unless the app has set up OpenTelemetry itself or
host.json says `"telemetryMode": "OpenTelemetry"` and the environment names an exporter.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from func_py.config.settings import HostConfig
from func_py.durable.model import InstanceState, RuntimeStatus, own_trace
from func_py.invocation import Around
from func_py.invocation.tracing import with_spans

_NAME = "func_py"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_FLUSH_MS = 3000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_propagator = TraceContextTextMapPropagator()


class Telemetry:
    """The spans of one host process."""

    def __init__(self, provider: Any, *, owned: bool) -> None:
        """`provider`: OpenTelemetry's tracer provider; shut down at the end when it is `owned`."""
        self._provider = provider
        self._owned = owned
        self._spans = _OrchestrationSpans.of(provider)
        self.around: Sequence[Around] = (with_spans(provider.get_tracer(_NAME)),)
        """For the invoker."""

    @property
    def ended(self) -> Callable[[InstanceState], None] | None:
        """Records the span of an orchestration that ended; None when the provider is not the
        OpenTelemetry SDK's, whose spans alone can be given an id."""
        return self._spans.record if self._spans is not None else None

    def close(self) -> None:
        """Send what is not sent yet, for at most a few seconds."""
        if (flush := getattr(self._provider, "force_flush", None)) is not None:
            flush(_FLUSH_MS)
        if self._owned:
            self._provider.shutdown()


class TelemetrySetup:
    """Decides who exports. Made before the app is imported, begun after it.

    `warnings` is what to tell the user.
    """

    def __init__(self, config: HostConfig, environ: Mapping[str, str]) -> None:
        self.warnings: list[str] = []
        self._name = environ.get("WEBSITE_SITE_NAME") or config.root.name
        self._environ = environ
        self._sdk: Any = None
        self._exporter: Callable[[], Any] | None = None
        if config.telemetry_mode.lower() != "opentelemetry":
            return
        found = _exporter_class(environ)
        if found is None:
            self.warnings.append(
                "host.json asks for OpenTelemetry, but no exporter is configured, so nothing is "
                f"traced. Set {_ENDPOINTS[0]}, {_INSIGHTS} or OTEL_TRACES_EXPORTER=console."
            )
            return
        package, module, name = found
        try:
            # Before the app is imported, whose own modules would win afterwards.
            self._sdk = importlib.import_module("opentelemetry.sdk.trace")
            importlib.import_module("opentelemetry.sdk.resources")
            importlib.import_module("opentelemetry.sdk.trace.export")
            self._exporter = getattr(importlib.import_module(module), name)
        except ImportError as error:
            self.warnings.append(
                f"host.json asks for OpenTelemetry, but {error.name} is not installed, so nothing "
                f"is traced: pip install {package}"
            )

    def begin(self) -> Telemetry | None:
        """What the app has set up, or else what host.json asks for; None for no traces."""
        provider = otel.get_tracer_provider()
        if not isinstance(provider, otel.ProxyTracerProvider | otel.NoOpTracerProvider):
            return Telemetry(provider, owned=False)
        if self._exporter is None:
            return None
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create(
            {} if self._environ.get("OTEL_SERVICE_NAME") else {"service.name": self._name}
        )
        own = self._sdk.TracerProvider(resource=resource)
        own.add_span_processor(BatchSpanProcessor(self._exporter()))
        otel.set_tracer_provider(own)
        return Telemetry(own, owned=True)


def _exporter_class(environ: Mapping[str, str]) -> tuple[str, str, str] | None:
    """What to install, the module and the class of the exporter that the environment names."""
    chosen = environ.get("OTEL_TRACES_EXPORTER", "").lower()
    if chosen == "none":
        return None
    if chosen == "console":
        return "opentelemetry-sdk", "opentelemetry.sdk.trace.export", "ConsoleSpanExporter"
    if chosen == "otlp" or any(environ.get(name) for name in _ENDPOINTS):
        return (
            "'func-py[otel]'",
            "opentelemetry.exporter.otlp.proto.http.trace_exporter",
            "OTLPSpanExporter",
        )
    if environ.get(_INSIGHTS):
        return (
            "azure-monitor-opentelemetry-exporter",
            "azure.monitor.opentelemetry.exporter",
            "AzureMonitorTraceExporter",
        )
    return None


class _DerivedIds:
    """Gives the ids that the next span must have; an IdGenerator of the OpenTelemetry SDK."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_span_id(self) -> int:
        return self.span_id

    def generate_trace_id(self) -> int:
        return self.trace_id

    def is_trace_id_random(self) -> bool:
        return False


class _OrchestrationSpans:
    """Spans that are recorded when they are over, under the id that their children know."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._ids = _DerivedIds()
        tracer.id_generator = self._ids

    @classmethod
    def of(cls, provider: Any) -> _OrchestrationSpans | None:
        # A tracer of our own: no other span gets these ids.
        tracer = provider.get_tracer(f"{_NAME}.durable")
        return cls(tracer) if hasattr(tracer, "id_generator") else None

    def record(self, state: InstanceState) -> None:
        own = own_trace(state).trace_parent.split("-")
        self._ids.trace_id, self._ids.span_id = int(own[1], 16), int(own[2], 16)
        carrier = {}
        if state.trace is not None:
            carrier = {
                "traceparent": state.trace.trace_parent,
                "tracestate": state.trace.trace_state,
            }
        span = self._tracer.start_span(
            f"orchestration:{state.name}",
            context=_propagator.extract(carrier, Context()),
            kind=otel.SpanKind.SERVER,
            start_time=_nanoseconds(state.created_at),
            attributes={
                "durabletask.type": "orchestration",
                "durabletask.task.name": state.name,
                "durabletask.task.instance_id": state.instance_id,
                "durabletask.task.execution_id": state.execution_id,
                "durabletask.task.status": state.status.value,
                **({"durabletask.task.version": state.version} if state.version else {}),
            },
        )
        if state.status is RuntimeStatus.FAILED:
            span.set_status(otel.StatusCode.ERROR, state.output or "")
        span.end(end_time=_nanoseconds(state.completed_at or state.last_updated_at))


def _nanoseconds(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1000

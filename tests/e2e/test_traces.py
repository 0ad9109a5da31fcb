"""Spans of a real host, as a collector receives them."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.process import running_host, wait_for

pytestmark = pytest.mark.e2e

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

APP = """
import azure.durable_functions as df
import azure.functions as func
from opentelemetry import trace

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="start/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    await client.start_new("tour", instance_id=req.route_params["id"])
    await client.signal_entity(df.EntityId("Meter", "m"), "tick")
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def tour(context):
    city = yield context.call_activity("visit", "Oslo")
    yield context.call_sub_orchestrator("leg", city)
    return city


@app.orchestration_trigger(context_name="context")
def leg(context):
    yield context.call_activity("fail", context.get_input())


@app.activity_trigger(input_name="city")
def visit(city: str) -> str:
    with trace.get_tracer("app").start_as_current_span("look around"):
        return city


@app.activity_trigger(input_name="city")
def fail(city: str) -> str:
    raise ValueError(city)


@app.entity_trigger(context_name="context")
def Meter(context):
    context.set_state((context.get_state(lambda: 0)) + 1)
"""

HOST = {
    "version": "2.0",
    "telemetryMode": "OpenTelemetry",
}


class Collector:
    """An OTLP collector; `spans` is what it got."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> Any:
        return next(span for span in self.spans if span.name == name)


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector that listens, and its address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write(root: Path, code: str) -> Path:
    root = root / "app"
    root.mkdir()
    (root / "host.json").write_text(json.dumps(HOST))
    (root / "function_app.py").write_text(code)
    return root


def test_a_request_and_all_it_causes_are_one_trace(tmp_path: Path) -> None:
    root = write(tmp_path, APP)
    with collecting() as (collector, address):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "tours"}
        with running_host(root, tmp_path / "log", environ=environ) as host:
            host.request("POST", "/api/start/t1", headers={"traceparent": CALLER})
            status = "/runtime/webhooks/durabletask/instances/t1"
            wait_for(
                lambda: host.request("GET", status).json()["runtimeStatus"] == "Failed",
                "the orchestration to end",
            )
            host.send(signal.SIGTERM)
            assert host.wait() == 0
        # What was not sent yet is sent when the host stops.
        spans = {span.name: span for span in collector.spans}
    parents = {
        "POST start/{id}": CALLER.split("-")[2],
        "orchestration:tour": spans["POST start/{id}"].span_id.hex(),
        "entity:Meter": spans["POST start/{id}"].span_id.hex(),
        "activity:visit": spans["orchestration:tour"].span_id.hex(),
        "look around": spans["activity:visit"].span_id.hex(),
        "orchestration:leg": spans["orchestration:tour"].span_id.hex(),
        "activity:fail": spans["orchestration:leg"].span_id.hex(),
    }
    assert {name: span.parent_span_id.hex() for name, span in spans.items()} == parents
    assert {span.trace_id.hex() for span in spans.values()} == {CALLER.split("-")[1]}
    assert collector.services == {"tours"}

    failed = {name for name, span in spans.items() if span.status.code == 2}
    assert failed == {"activity:fail", "orchestration:leg", "orchestration:tour"}
    attributes = {a.key: a.value for a in spans["activity:visit"].attributes}
    assert attributes["durabletask.task.instance_id"].string_value == "t1"
    assert attributes["durabletask.task.task_id"].int_value == 0
    tour, visit = spans["orchestration:tour"], spans["activity:visit"]
    assert tour.start_time_unix_nano <= visit.start_time_unix_nano
    assert visit.end_time_unix_nano <= tour.end_time_unix_nano


def test_an_app_that_set_up_its_own_exporter_gets_the_spans_of_the_host(tmp_path: Path) -> None:
    setup = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=open("spans", "w"))))
trace.set_tracer_provider(provider)
"""
    root = write(tmp_path, setup + APP)
    with running_host(root, tmp_path / "log") as host:
        host.request("POST", "/api/start/t2")
        written = root / "spans"
        wait_for(lambda: '"orchestration:tour"' in written.read_text(), "the span")
        assert '"POST start/{id}"' in written.read_text()


def test_a_missing_exporter_is_said_and_nothing_is_traced(tmp_path: Path) -> None:
    root = write(tmp_path, APP)
    with running_host(root, tmp_path / "log") as host:
        wait_for(lambda: "no exporter is configured" in host.output, "the warning")
        assert host.request("POST", "/api/start/t3").status == 202

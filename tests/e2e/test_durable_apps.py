"""Durable apps as `func-py start` runs them: calls over HTTP, entities of both models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.process import running_host

pytestmark = pytest.mark.e2e

POLLING = """
import json
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
asked = []


@app.route(route="job")
def job(req: func.HttpRequest) -> func.HttpResponse:
    asked.append(req.method)
    return func.HttpResponse(status_code=202, headers={"Location": "/api/job/state"})


@app.route(route="job/state")
def state(req: func.HttpRequest) -> func.HttpResponse:
    asked.append("poll")
    if len(asked) < 4:
        return func.HttpResponse(status_code=202, headers={"Location": "/api/job/state"})
    return func.HttpResponse(json.dumps(asked))


@app.route(route="start", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new("fetch", client_input=req.url)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def fetch(context):
    url = context.get_input().replace("/start", "/job")
    answer = yield context.call_http("POST", url, {"a": 1})
    return answer["content"]
"""

VERSION_1 = {
    "host.json": json.dumps({"version": "2.0"}),
    "Meter/function.json": json.dumps(
        {"bindings": [{"type": "entityTrigger", "direction": "in", "name": "context"}]}
    ),
    "Meter/__init__.py": """
import azure.durable_functions as df


def meter(context):
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())


main = df.Entity.create(meter)
""",
    "Flow/function.json": json.dumps(
        {"bindings": [{"type": "orchestrationTrigger", "direction": "in", "name": "context"}]}
    ),
    "Flow/__init__.py": """
import azure.durable_functions as df


def flow(context):
    meter = df.EntityId("Meter", "m")
    context.signal_entity(meter, "add", 2)
    return (yield context.call_entity(meter, "add", 3))


main = df.Orchestrator.create(flow)
""",
}

API = "/runtime/webhooks/durabletask"


def test_a_durable_http_call_is_polled_as_host_json_says(tmp_path: Path) -> None:
    settings = {"httpSettings": {"defaultAsyncRequestSleepTimeMilliseconds": 1}}
    root = tmp_path / "app"
    root.mkdir()
    (root / "function_app.py").write_text(POLLING)
    (root / "host.json").write_text(
        json.dumps({"version": "2.0", "extensions": {"durableTask": settings}})
    )
    with running_host(root, tmp_path / "log") as host:
        status = host.wait_for_end_of(host.post("/api/start"))

    assert json.loads(status["output"]) == ["POST", "poll", "poll", "poll"]


def test_an_entity_of_the_version_1_model_runs(tmp_path: Path) -> None:
    root = tmp_path / "app"
    for name, text in VERSION_1.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with running_host(root, tmp_path / "log") as host:
        status = host.wait_for_end_of(host.post(f"{API}/orchestrators/Flow"))
        entity = host.get(f"{API}/entities/meter/m")

    assert (status["output"], entity.json()) == (5, 5)

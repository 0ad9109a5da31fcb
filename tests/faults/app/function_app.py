"""The app that the fault tests kill. Each activity call leaves a line in the file FAULTS_RAN."""

# The SDK is typed only in part.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from func_py.durable import faults

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

Steps = Generator[Any, Any, Any]


@app.route(route="start/{name}/{instance_id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new(
        req.route_params["name"], req.route_params["instance_id"], json.loads(req.get_body())
    )
    return client.create_check_status_response(req, instance_id)


@app.route(route="raise/{event}/{instance_id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def raise_event(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    await client.raise_event(
        req.route_params["instance_id"], req.route_params["event"], json.loads(req.get_body())
    )
    return func.HttpResponse(status_code=202)


@app.route(route="arm/{target}", methods=["POST"])
async def arm(req: func.HttpRequest) -> func.HttpResponse:
    """This process dies at that crash point; the one that replaces it knows nothing of it."""
    faults.arm(req.route_params["target"])
    return func.HttpResponse(status_code=204)


@app.orchestration_trigger(context_name="context")
def journey(context: df.DurableOrchestrationContext) -> Steps:
    """Every kind of step; asks for the same ones however often processes die on the way."""
    me = context.instance_id
    seen = [(yield context.call_activity("work", [me, "first"]))]
    parts = [context.call_activity("work", [me, f"part {number}"]) for number in range(3)]
    seen += yield context.task_all(parts)
    try:
        retry = df.RetryOptions(first_retry_interval_in_milliseconds=1, max_number_of_attempts=2)
        yield context.call_activity_with_retry("stumble", retry, [me, "stumble"])
    except Exception:  # noqa: BLE001 - it is what the SDK raises
        seen.append("gave up")
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    context.set_custom_status("waits for approval")
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    approval = context.wait_for_external_event("Approval")
    yield context.task_any([approval, deadline])
    deadline.cancel()
    seen.append(approval.result)
    seen.append((yield context.call_activity("work", [me, "last"])))
    return seen


@app.orchestration_trigger(context_name="context")
def company(context: df.DurableOrchestrationContext) -> Steps:
    """Calls an activity that kills its process, beside others that do no harm."""
    me = context.instance_id
    harmless = [context.call_activity("work", [me, f"part {number}"]) for number in range(3)]
    poison = context.call_activity("kill_process", context.get_input())
    yield context.task_all(harmless)
    try:
        yield poison
    except Exception as error:  # noqa: BLE001 - it is what the SDK raises
        return str(error)


@app.orchestration_trigger(context_name="context")
def lethal(context: df.DurableOrchestrationContext) -> Steps:
    """Kills its process, in its first turn or after an activity."""
    if context.get_input() == "later":
        yield context.call_activity("work", [context.instance_id, "first"])
    os._exit(3)


@app.activity_trigger(input_name="call")
def work(call: list[str]) -> str:
    """Gives something that no other call gives."""
    return _noted(call)


@app.activity_trigger(input_name="call")
async def stumble(call: list[str]) -> None:
    """Always fails."""
    _noted(call)
    raise ValueError("stumbled")


@app.activity_trigger(input_name="how")
def kill_process(how: str) -> None:
    """Ends the process, as native code or an impatient kernel would."""
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def _noted(call: list[str]) -> str:
    instance_id, step = call
    token = uuid.uuid4().hex
    with open(os.environ["FAULTS_RAN"], "a") as file:
        file.write(f"{instance_id}\t{step}\t{token}\n")
    return token

"""An app that calls every method of the SDK's client, and every member of its contexts.

`GET /api/client/{transport}` runs the client calls of `client_calls` and answers what each gave.
"""

# The SDK is typed only in part.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from client_calls import Calls, every_call  # type: ignore[import-not-found]  # beside this file

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

Steps = Generator[Any, Any, Any]
failures = {"activity": 2, "child": 1}
"""How often the flaky functions still fail."""
failed: set[str] = set()
"""What `fail_once` was given."""


@app.route(route="client/inside")
@app.durable_client_input(client_name="client")
async def call_inside(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Through the host's own client, which needs no socket."""
    return await _every_call(client, req, "inside")


@app.route(route="client/http")
@app.generic_input_binding(arg_name="payload", type="durableClient")
async def call_over_http(req: func.HttpRequest, payload: str) -> func.HttpResponse:
    """Through the SDK's client, made from the binding's JSON as version 1 apps do."""
    return await _every_call(df.DurableOrchestrationClient(payload), req, "http")


async def _every_call(client: Any, req: func.HttpRequest, name: str) -> func.HttpResponse:
    calls = Calls(client)
    await every_call(calls, req, name)
    return func.HttpResponse(json.dumps({"told": calls.told, "called": sorted(calls.called)}))


@app.route(route="context")
@app.durable_client_input(client_name="client")
async def start_context(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Start the orchestrator that touches everything, with an event it will wait for."""
    given = {"url": req.url.replace("/context", "/echo"), "generation": 1}
    instance_id = await client.start_new("everything", req.params["id"], given, "1.5")
    await client.raise_event(instance_id, "Early", "bird")
    return client.create_check_status_response(req, instance_id)


@app.route(route="echo", methods=["POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), status_code=201)


class Watched:
    """A context that notes which of its members are used."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.used.add(name)
        return getattr(self._context, name)


@app.orchestration_trigger(context_name="context")
def everything(context: Any) -> Steps:
    """Use each member but `histories`; a second generation ends with what the first has seen."""
    if context.get_input()["generation"] == 2:
        return {
            **context.get_input()["seen"],
            "version of the next generation": context.version,
            "status at its begin": context.custom_status,
        }
    ctx = Watched(context)
    meter = df.EntityId("Meter", ctx.instance_id)
    seen: dict[str, Any] = {
        "replaying": ctx.is_replaying,
        "ids": [ctx.instance_id, ctx.parent_instance_id, ctx.version],
        "now": ctx.current_utc_datetime.isoformat(),
        "uuid": ctx.new_uuid(),
        "guid": str(ctx.new_guid()),
        "function_context": type(ctx.function_context).__name__,
    }
    try:
        ctx.call_activity(len)
    except ValueError as error:
        seen["a callable"] = str(error)[:60]
    seen["activity"] = yield ctx.call_activity("double", 2)
    seen["function object"] = yield ctx.call_activity(double, 3, expected_type=int)
    retry = df.RetryOptions(1, 3)
    seen["retried"] = yield ctx.call_activity_with_retry("flaky", retry, "x")
    child = f"{ctx.instance_id}-child"
    seen["child"] = yield ctx.call_sub_orchestrator("reader", {"n": 1}, child, "1.2")
    seen["retried child"] = yield ctx.call_sub_orchestrator_with_retry(
        "moody", retry, None, f"{child}-2"
    )
    answer = yield ctx.call_http("POST", ctx.get_input()["url"], {"a": 1})
    seen["http"] = [answer["statusCode"], answer["content"]]
    ctx.signal_entity(meter, "add", 4)
    seen["entity"] = yield ctx.call_entity(meter, "add", 5)
    due = ctx.current_utc_datetime + timedelta(milliseconds=1)
    seen["timer"] = yield ctx.create_timer(due)
    seen["not before it was due"] = ctx.current_utc_datetime >= due
    seen["event"] = yield ctx.wait_for_external_event("Early")
    seen["all"] = yield ctx.task_all([ctx.call_activity("double", n) for n in (1, 2)])
    night = ctx.create_timer(ctx.current_utc_datetime + timedelta(hours=8))
    day = ctx.call_activity("double", 8)
    winner = yield ctx.task_any([night, day])
    night.cancel()
    seen["any"] = [winner is day, day.result, night.is_cancelled]
    before = ctx.will_continue_as_new
    ctx.set_custom_status("half way")
    seen["status"] = ctx.custom_status
    ctx.continue_as_new({"generation": 2, "seen": {**seen, "used": sorted(ctx.used)}})
    ctx.set_custom_status([before, ctx.will_continue_as_new])
    return None


@app.orchestration_trigger(context_name="context")
def reader(context: Any) -> Steps:
    """A child that reads its history."""
    yield context.call_activity("double", 1)
    kinds = [event.event_type for event in context.histories]
    return [context.get_input(), context.parent_instance_id, context.version, kinds]


@app.orchestration_trigger(context_name="context")
def moody(context: Any) -> Steps:
    """A child whose first attempt fails."""
    instance_id = yield context.call_activity("moods", context.instance_id)
    return instance_id


@app.orchestration_trigger(context_name="context")
def waiter(context: Any) -> Steps:
    context.set_custom_status("waiting")
    return (yield context.wait_for_external_event("Go"))


@app.orchestration_trigger(context_name="context")
def failing(context: Any) -> Steps:
    """Fails the first time under an id, and goes on when it is rewound or started again."""
    return (yield context.call_activity("fail_once", context.instance_id))


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    return 2 * n


@app.activity_trigger(input_name="text")
def fail_once(text: str) -> str:
    if text not in failed:
        failed.add(text)
        raise ValueError("no luck")
    return text


@app.activity_trigger(input_name="text")
def flaky(text: str) -> str:
    if failures["activity"]:
        failures["activity"] -= 1
        raise OSError("not now")
    return text


@app.activity_trigger(input_name="text")
def moods(text: str) -> str:
    if failures["child"]:
        failures["child"] -= 1
        raise OSError("not now")
    return text


@app.entity_trigger(context_name="context", entity_name="Meter")
def meter(context: Any) -> None:
    if context.operation_name == "add":
        context.set_state(context.get_state(lambda: 0) + (context.get_input() or 0))
        context.set_result(context.get_state())

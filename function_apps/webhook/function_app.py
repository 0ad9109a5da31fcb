"""Webhook: the caller names a URL at the start, and is called there when the work is done."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="reports", methods=["POST"])
@app.durable_client_input(client_name="client")
async def order_report(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    instance_id = await client.start_new("make_report", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def make_report(context: df.DurableOrchestrationContext):
    order = context.get_input()
    pages = yield context.call_activity("write_report", order["topic"])
    message = {"report": context.instance_id, "topic": order["topic"], "pages": pages}

    for pause_s in (0, 1, 5):
        if pause_s:
            pause = timedelta(seconds=pause_s)
            yield context.create_timer(context.current_utc_datetime + pause)
        answer = yield context.call_http(
            "POST", order["callback"], message, {"Content-Type": "application/json"}
        )
        if answer["statusCode"] < 300:
            return {"pages": pages, "told": True}
    return {"pages": pages, "told": False}


@app.activity_trigger(input_name="topic")
def write_report(topic: str) -> int:
    return len(topic)


# ---- the caller's side, which would be another system --------------------------------------------

inbox: list[dict] = []


@app.route(route="inbox", methods=["POST"])
async def receive(req: func.HttpRequest) -> func.HttpResponse:
    inbox.append(req.get_json())
    return func.HttpResponse(status_code=204)


@app.route(route="inbox", methods=["GET"])
async def read_inbox(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(inbox), mimetype="application/json")

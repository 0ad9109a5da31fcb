"""External event with a deadline: a purchase that is paid in time is shipped, another cancelled."""

import json
import os
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

PAYMENT_WINDOW_S = float(os.environ.get("PAYMENT_WINDOW_S", "30"))


@app.route(route="purchases", methods=["POST"])
@app.durable_client_input(client_name="client")
async def buy(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    # The window is part of the input: an instance keeps the one it began with.
    purchase = {"window_s": PAYMENT_WINDOW_S, **req.get_json()}
    instance_id = await client.start_new("purchase", client_input=purchase)
    return client.create_check_status_response(req, instance_id)


@app.route(route="purchases/{instance_id}/payment", methods=["POST"])
@app.durable_client_input(client_name="client")
async def pay(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    await client.raise_event(req.route_params["instance_id"], "Payment", req.get_json())
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def purchase(context: df.DurableOrchestrationContext):
    order = context.get_input()
    yield context.call_activity("reserve_goods", order["item"])

    window = timedelta(seconds=order["window_s"])
    deadline = context.create_timer(context.current_utc_datetime + window)
    paid = 0
    while paid < order["price"]:
        payment = context.wait_for_external_event("Payment")
        if (yield context.task_any([payment, deadline])) == deadline:
            yield context.call_activity("release_goods", order["item"])
            return {"state": "cancelled", "refund": paid}
        paid += json.loads(payment.result)["amount"]
        context.set_custom_status({"paid": paid})
    deadline.cancel()
    yield context.call_activity("ship_goods", order["item"])
    return {"state": "shipped", "change": paid - order["price"]}


@app.activity_trigger(input_name="item")
def reserve_goods(item: str) -> str:
    return f"{item} reserved"


@app.activity_trigger(input_name="item")
def release_goods(item: str) -> str:
    return f"{item} released"


@app.activity_trigger(input_name="item")
def ship_goods(item: str) -> str:
    return f"{item} shipped"

"""Human interaction: wait for somebody's decision, but not for ever."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="expenses", methods=["POST"])
@app.durable_client_input(client_name="client")
async def submit_expense(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    instance_id = await client.start_new("approve_expense", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.route(route="expenses/{instance_id}/decision", methods=["POST"])
@app.durable_client_input(client_name="client")
async def decide_expense(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    await client.raise_event(req.route_params["instance_id"], "Decision", req.get_json())
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def approve_expense(context: df.DurableOrchestrationContext):
    expense = context.get_input()
    yield context.call_activity("ask_manager", expense)

    patience = timedelta(seconds=expense.get("patience_s", 72 * 3600))
    timeout = context.create_timer(context.current_utc_datetime + patience)
    decision = context.wait_for_external_event("Decision")
    winner = yield context.task_any([decision, timeout])
    if winner == timeout:
        return (yield context.call_activity("escalate_expense", expense))

    timeout.cancel()  # otherwise the instance would live until the timer fires
    # An event that a client raised arrives as the JSON text of its data.
    return "approved" if json.loads(decision.result)["approved"] else "rejected"


@app.activity_trigger(input_name="expense")
def ask_manager(expense: dict) -> str:
    return f"Asked for approval of {expense['amount']}"


@app.activity_trigger(input_name="expense")
def escalate_expense(expense: dict) -> str:
    return "escalated"

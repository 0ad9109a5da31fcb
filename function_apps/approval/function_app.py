"""Human interaction: wait for somebody's decision, remind them once, but do not wait for ever."""

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
    asked_at = context.current_utc_datetime
    reminder_at = asked_at + timedelta(seconds=expense.get("remind_after_s", 60))
    give_up_at = asked_at + timedelta(seconds=expense.get("patience_s", 120))

    yield context.call_activity("ask_manager", expense)
    context.set_custom_status("asked")
    decision = context.wait_for_external_event("Decision")

    if not (yield from came_before(context, decision, min(reminder_at, give_up_at))):
        yield context.call_activity("remind_manager", expense)
        context.set_custom_status("reminded")
        if not (yield from came_before(context, decision, give_up_at)):
            return (yield context.call_activity("escalate_expense", expense))

    # An event that a client raised arrives as the JSON text of its data.
    return "approved" if json.loads(decision.result)["approved"] else "rejected"


def came_before(context: df.DurableOrchestrationContext, event, deadline):
    timeout = context.create_timer(deadline)
    winner = yield context.task_any([event, timeout])
    if winner == timeout:
        return False
    timeout.cancel()  # otherwise the instance would live until the timer fires
    return True


@app.activity_trigger(input_name="expense")
def ask_manager(expense: dict) -> str:
    return f"Asked for approval of {expense['amount']}"


@app.activity_trigger(input_name="expense")
def remind_manager(expense: dict) -> str:
    return f"Still waiting for approval of {expense['amount']}"


@app.activity_trigger(input_name="expense")
def escalate_expense(expense: dict) -> str:
    return "escalated"

"""Saga: retry what may succeed the next time; undo what was done when a later step fails."""

from collections import Counter

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=200, max_number_of_attempts=3)

attempts: Counter[tuple[str, str]] = Counter()
"""Stands for the moods of the systems that bookings are made with."""


@app.route(route="trips", methods=["POST"])
@app.durable_client_input(client_name="client")
async def book_trip(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    # How often each booking fails before it succeeds: {"hotel": 1}
    failures = req.get_json() if req.get_body() else {}
    instance_id = await client.start_new("trip", client_input=failures)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def trip(context: df.DurableOrchestrationContext):
    failures = context.get_input()
    booked = []
    try:
        for what in ("flight", "hotel", "car"):
            order = {"trip": context.instance_id, "what": what, "failures": failures.get(what, 0)}
            yield context.call_activity_with_retry("book", RETRY, order)
            booked.append(what)
    except Exception as error:  # noqa: BLE001 - what an activity raised arrives as just that
        for what in reversed(booked):
            yield context.call_activity_with_retry("cancel_booking", RETRY, what)
        return {"booked": False, "undone": booked[::-1], "reason": str(error)}
    return {"booked": True, "parts": booked}


@app.activity_trigger(input_name="order")
def book(order: dict) -> str:
    key = (order["trip"], order["what"])
    attempts[key] += 1
    if attempts[key] <= order["failures"]:
        raise RuntimeError(f"No answer when booking the {order['what']}")
    return f"{order['what']} booked"


@app.activity_trigger(input_name="what")
def cancel_booking(what: str) -> str:
    return f"{what} cancelled"

"""Eternal orchestration: a round of work, a pause, and again from the start, with a new history."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

SWEEPER = "the-sweeper"
"""There is one: its id is known beforehand."""


@app.route(route="sweeper", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_sweeper(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    status = await client.get_status(SWEEPER)
    if status.runtime_status not in (
        df.OrchestrationRuntimeStatus.Running,
        df.OrchestrationRuntimeStatus.Pending,
    ):
        pause_s = float(req.params.get("pause_s", 1))
        await client.start_new("sweep", SWEEPER, {"round": 1, "pause_s": pause_s})
    return client.create_check_status_response(req, SWEEPER)


@app.route(route="sweeper", methods=["DELETE"])
@app.durable_client_input(client_name="client")
async def stop_sweeper(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    await client.raise_event(SWEEPER, "Stop")
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def sweep(context: df.DurableOrchestrationContext):
    state = context.get_input()
    context.set_custom_status({"round": state["round"]})
    yield context.call_activity("sweep_floor", state["round"])

    pause = context.create_timer(context.current_utc_datetime + timedelta(seconds=state["pause_s"]))
    stop = context.wait_for_external_event("Stop")
    if (yield context.task_any([stop, pause])) == stop:
        pause.cancel()
        return f"stopped in round {state['round']}"
    # Not a loop: the history would grow with every round, for ever.
    context.continue_as_new({**state, "round": state["round"] + 1})


@app.activity_trigger(input_name="number")
def sweep_floor(number: int) -> str:
    return f"Round {number} is done"

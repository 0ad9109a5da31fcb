"""Monitor: look again and again, with growing pauses, until something is so or time is over."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

finished_jobs: set[str] = set()
"""Stands for another system, which finishes jobs when it likes."""


@app.route(route="jobs/{job}/watch", methods=["POST"])
@app.durable_client_input(client_name="client")
async def watch(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    wish = {"job": req.route_params["job"], "patience_s": float(req.params.get("patience_s", 60))}
    instance_id = await client.start_new("watch_job", client_input=wish)
    return client.create_check_status_response(req, instance_id)


@app.route(route="jobs/{job}/finish", methods=["POST"])
async def finish(req: func.HttpRequest) -> func.HttpResponse:
    finished_jobs.add(req.route_params["job"])
    return func.HttpResponse(status_code=204)


@app.orchestration_trigger(context_name="context")
def watch_job(context: df.DurableOrchestrationContext):
    wish = context.get_input()
    give_up_at = context.current_utc_datetime + timedelta(seconds=wish["patience_s"])
    pause = timedelta(seconds=0.5)
    looks = 0
    while True:
        looks += 1
        if (yield context.call_activity("is_job_finished", wish["job"])):
            return {"finished": True, "looks": looks}
        if context.current_utc_datetime >= give_up_at:
            return {"finished": False, "looks": looks}
        context.set_custom_status({"looks": looks})
        yield context.create_timer(min(context.current_utc_datetime + pause, give_up_at))
        pause = min(pause * 1.5, timedelta(minutes=5))


@app.activity_trigger(input_name="job")
def is_job_finished(job: str) -> bool:
    return job in finished_jobs

"""Versions side by side: new instances take the new way, those under way finish the old one."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

CURRENT = "2.0"


@app.route(route="parcels", methods=["POST"])
@app.durable_client_input(client_name="client")
async def send_parcel(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    # Usually `defaultVersion` in host.json says it. Here the caller may play an older deployment.
    version = req.params.get("version", CURRENT)
    instance_id = await client.start_new("deliver_parcel", version=version)
    return client.create_check_status_response(req, instance_id)


@app.route(route="parcels/{instance_id}/arrival", methods=["POST"])
@app.durable_client_input(client_name="client")
async def announce_arrival(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    await client.raise_event(req.route_params["instance_id"], "Arrival")
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def deliver_parcel(context: df.DurableOrchestrationContext):
    steps = [(yield context.call_activity("handle_parcel", "picked up"))]
    # Since 2.0 parcels are weighed. Without the condition, instances that began before would find
    # a step that their history does not know, and fail.
    if context.version != "1.0":
        steps.append((yield context.call_activity("handle_parcel", "weighed")))
    yield context.wait_for_external_event("Arrival")
    steps.append((yield context.call_activity("handle_parcel", "handed over")))
    return {"version": context.version, "steps": steps}


@app.activity_trigger(input_name="step")
def handle_parcel(step: str) -> str:
    return step

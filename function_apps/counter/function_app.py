"""A durable entity: a counter for each key, changed and read by a client."""

import json

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext):
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            context.set_state(value + context.get_input())
        case "reset":
            context.set_state(0)
        case "delete":
            context.destruct_on_exit()


@app.route(route="counters/{key}", methods=["POST", "DELETE"])
@app.durable_client_input(client_name="client")
async def change_counter(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    entity = df.EntityId("counter", req.route_params["key"])
    if req.method == "DELETE":
        await client.signal_entity(entity, "delete")
    else:
        await client.signal_entity(entity, "add", int(req.params.get("by", "1")))
    return func.HttpResponse(status_code=202)  # a signal is one way: it is on its way


@app.route(route="counters/{key}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def show_counter(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    key = req.route_params["key"]
    entity = await client.read_entity_state(df.EntityId("counter", key))
    if not entity.entity_exists:
        return func.HttpResponse(status_code=404)
    body = json.dumps({"key": key, "value": entity.entity_state})
    return func.HttpResponse(body, mimetype="application/json")

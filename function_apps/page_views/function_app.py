"""A hot counter, kept by several entities so that no single one is a bottleneck."""

import asyncio
import json
import random

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

PARTS = 8
"""An entity takes one operation at a time; eight of them take eight. More can be added any time."""


@app.entity_trigger(context_name="context")
def page_views(context: df.DurableEntityContext):
    if context.operation_name == "view":
        context.set_state(context.get_state(lambda: 0) + 1)


@app.route(route="views/{page}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def count_view(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    part = random.randrange(PARTS)
    await client.signal_entity(
        df.EntityId("page_views", f"{req.route_params['page']}-{part}"), "view"
    )
    return func.HttpResponse(status_code=202)


@app.route(route="views/{page}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def show_views(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    page = req.route_params["page"]
    parts = await asyncio.gather(
        *(
            client.read_entity_state(df.EntityId("page_views", f"{page}-{part}"))
            for part in range(PARTS)
        )
    )
    views = sum(part.entity_state for part in parts if part.entity_exists)
    return func.HttpResponse(json.dumps({"views": views}), mimetype="application/json")

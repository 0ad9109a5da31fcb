"""What comes in over HTTP."""

import azure.durable_functions as df
import azure.functions as func

routes = df.Blueprint()


@routes.route(route="invoices/{customer}", methods=["POST"])
@routes.durable_client_input(client_name="client")
async def request_invoice(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    order = {"customer": req.route_params["customer"], "items": req.get_json()}
    instance_id = await client.start_new("write_invoice", client_input=order)
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id)

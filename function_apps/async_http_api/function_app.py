"""An HTTP API for work that takes long: accept it with a 202, then let the caller follow it."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="exports", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_export(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    pages = int(req.params.get("pages", "5"))
    instance_id = await client.start_new("run_export", client_input={"pages": pages})
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def run_export(context: df.DurableOrchestrationContext):
    pages = context.get_input()["pages"]
    files = []
    for page in range(1, pages + 1):
        context.set_custom_status({"page": page, "of": pages})
        files.append((yield context.call_activity("export_page", page)))
        # Be gentle with the system that is exported. The wait is durable: it takes no thread and
        # survives a restart.
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    context.set_custom_status("done")
    return files


@app.activity_trigger(input_name="page")
def export_page(page: int) -> str:
    return f"export-{page:03}.csv"

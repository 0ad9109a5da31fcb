"""Fan-out, fan-in: one activity per item, all at once, then one that adds the results up."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="word-count", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_word_count(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    lines = req.get_body().decode().splitlines()
    instance_id = await client.start_new("count_words", client_input=lines)
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=5000, retry_interval_in_milliseconds=50
    )


@app.orchestration_trigger(context_name="context")
def count_words(context: df.DurableOrchestrationContext):
    lines = context.get_input()
    counts = yield context.task_all([context.call_activity("count_line", line) for line in lines])
    total = yield context.call_activity("add_up", counts)
    return {"lines": len(lines), "words": total}


@app.activity_trigger(input_name="line")
def count_line(line: str) -> int:
    return len(line.split())


@app.activity_trigger(input_name="counts")
def add_up(counts: list) -> int:
    return sum(counts)

"""The app that the benchmark programs run: an ordinary one, written with the official SDK."""

# The SDK is typed only in part.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

Steps = Generator[Any, Any, Any]


@app.route(route="ping")
async def ping(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("pong")


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new(req.route_params["name"])
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def sequence(context: df.DurableOrchestrationContext) -> Steps:
    """Three activities, one after another."""
    tokyo = yield context.call_activity("greet", "Tokyo")
    seattle = yield context.call_activity("greet", "Seattle")
    london = yield context.call_activity("greet", "London")
    return [tokyo, seattle, london]


@app.orchestration_trigger(context_name="context")
def sequence_plain(context: df.DurableOrchestrationContext) -> Steps:
    """The same with an activity that is a plain function: it runs in a thread."""
    tokyo = yield context.call_activity("greet_plain", "Tokyo")
    seattle = yield context.call_activity("greet_plain", "Seattle")
    london = yield context.call_activity("greet_plain", "London")
    return [tokyo, seattle, london]


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext) -> Steps:
    """As many activities as the input says, all at once."""
    count = context.get_input()
    numbers = yield context.task_all(
        [context.call_activity("double", number) for number in range(count)]
    )
    return sum(numbers)


@app.orchestration_trigger(context_name="context")
def fan_out_plain(context: df.DurableOrchestrationContext) -> Steps:
    """The same with an activity that is a plain function."""
    count = context.get_input()
    numbers = yield context.task_all(
        [context.call_activity("double_plain", number) for number in range(count)]
    )
    return sum(numbers)


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext) -> Steps:
    """As many activities as the input says, one after another."""
    value = 0
    for _ in range(context.get_input()):
        value = yield context.call_activity("increment", value)
    return value


@app.orchestration_trigger(context_name="context")
def journey(context: df.DurableOrchestrationContext) -> Steps:
    """Five activities, one after another, then a signal to one of 20 counters."""
    number = value = context.get_input()
    for _ in range(5):
        value = yield context.call_activity("increment", value)
    context.signal_entity(df.EntityId("counter", str(number % 20)), "add", 1)
    return value


@app.orchestration_trigger(context_name="context")
def fan_out_computing(context: df.DurableOrchestrationContext) -> Steps:
    """As many activities as the input says, all at once, each of which computes."""
    count = context.get_input()
    yield context.task_all([context.call_activity("compute", number) for number in range(count)])
    return count


@app.orchestration_trigger(context_name="context")
def wait_for_go(context: df.DurableOrchestrationContext) -> Steps:
    """Waits for one external event."""
    return (yield context.wait_for_external_event("go"))


@app.orchestration_trigger(context_name="context")
def chain_then_wait(context: df.DurableOrchestrationContext) -> Steps:
    """A chain, then one external event."""
    for number in range(context.get_input()):
        yield context.call_activity("increment", number)
    context.set_custom_status("waits")
    return (yield context.wait_for_external_event("go"))


@app.orchestration_trigger(context_name="context")
def signal_counters(context: df.DurableOrchestrationContext) -> Steps:
    """Signals to as many entities as the input says, in turn; then it waits for the first."""
    signals, entities = context.get_input()
    for number in range(signals):
        context.signal_entity(df.EntityId("counter", str(number % entities)), "add", 1)
    return (yield context.call_entity(df.EntityId("counter", "0"), "get"))


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    """Adds up."""
    count = context.get_state(lambda: 0)
    if context.operation_name == "add":
        context.set_state(count + context.get_input())
    else:
        context.set_result(count)


@app.activity_trigger(input_name="city")
async def greet(city: str) -> str:
    return f"Hello {city}!"


@app.activity_trigger(input_name="city")
def greet_plain(city: str) -> str:
    return f"Hello {city}!"


@app.activity_trigger(input_name="number")
async def double(number: int) -> int:
    return 2 * number


@app.activity_trigger(input_name="number")
def double_plain(number: int) -> int:
    return 2 * number


@app.activity_trigger(input_name="value")
async def increment(value: int) -> int:
    return value + 1


@app.activity_trigger(input_name="number")
def compute(number: int) -> int:
    """Keeps a processor busy for some hundredths of a second."""
    return sum(n * n % 7 for n in range(300_000 + number))

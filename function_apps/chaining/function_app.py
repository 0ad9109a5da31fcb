"""Function chaining: activities one after another, each result known before the next begins."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

CITIES = ["Tokyo", "Seattle", "London"]


@app.route(route="chaining", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_chaining(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    instance_id = await client.start_new("greet_cities", client_input=CITIES)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def greet_cities(context: df.DurableOrchestrationContext):
    greetings = []
    for city in context.get_input():
        greeting = yield context.call_activity("greet_city", city)
        greetings.append(greeting)
    return greetings


@app.activity_trigger(input_name="city")
def greet_city(city: str) -> str:
    return f"Hello, {city}!"

"""Accounts as durable entities, and a transfer between two of them as an orchestration."""

import json

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="accounts/{owner}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def show_account(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    found = await client.read_entity_state(df.EntityId("Account", req.route_params["owner"]))
    if not found.entity_exists:
        return func.HttpResponse("No such account.", status_code=404)
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")


@app.route(route="accounts/{owner}/deposit", methods=["POST"])
@app.durable_client_input(client_name="client")
async def deposit(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    account = df.EntityId("Account", req.route_params["owner"])
    await client.signal_entity(account, "deposit", req.get_json()["amount"])
    return func.HttpResponse(status_code=202)


@app.route(route="transfers", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_transfer(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new("transfer", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def transfer(context: df.DurableOrchestrationContext):
    order = context.get_input()
    source = df.EntityId("Account", order["from"])
    try:
        left = yield context.call_entity(source, "withdraw", order["amount"])
    except Exception as error:  # noqa: BLE001 - what the entity raised arrives as just that
        return f"refused: {error}"
    target = df.EntityId("Account", order["to"])
    yield context.call_entity(target, "deposit", order["amount"])
    return f"done, {left} left"


@app.entity_trigger(context_name="context", entity_name="Account")
def account(context: df.DurableEntityContext):
    balance = context.get_state(lambda: 0)
    amount = context.get_input()
    if context.operation_name == "withdraw":
        if amount > balance:
            raise ValueError(f"there are only {balance}")
        amount = -amount
    balance += amount
    context.set_state(balance)
    context.set_result(balance)

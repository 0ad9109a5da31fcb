"""Orders that come in over HTTP, wait in a queue, and are shipped one after another."""

import json
import logging
from collections import deque

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

shipped: deque[str] = deque(maxlen=10)
refused: deque[str] = deque(maxlen=10)


@app.route(route="queue-orders", methods=["POST"])
@app.queue_output(arg_name="orders", queue_name="orders", connection="AzureWebJobsStorage")
async def take_orders(req: func.HttpRequest, orders: func.Out[list[str]]) -> func.HttpResponse:
    items = [item.strip() for item in req.get_body().decode().split(",")]
    orders.set([json.dumps({"item": item}) for item in items])
    return func.HttpResponse(f"{len(items)} orders wait.\n", status_code=202)


@app.queue_trigger(arg_name="order", queue_name="orders", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="$return", queue_name="shipments", connection="AzureWebJobsStorage")
async def ship(order: func.QueueMessage) -> str:
    item = order.get_json()["item"]
    if item == "unicorn":
        raise ValueError(f"there is no {item} in stock")
    logging.info("Shipping %s, at attempt %d.", item, order.dequeue_count)
    return f"one {item}"


@app.queue_trigger(arg_name="note", queue_name="shipments", connection="AzureWebJobsStorage")
async def note_shipment(note: str) -> None:
    shipped.append(note)


@app.queue_trigger(arg_name="order", queue_name="orders-poison", connection="AzureWebJobsStorage")
async def note_refusal(order: func.QueueMessage) -> None:
    refused.append(order.get_json()["item"])


@app.route(route="queue-orders", methods=["GET"])
async def show_orders(req: func.HttpRequest) -> func.HttpResponse:
    state = {"shipped": sorted(shipped), "refused": sorted(refused)}
    return func.HttpResponse(json.dumps(state), mimetype="application/json")

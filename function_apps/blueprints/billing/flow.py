"""The orchestration and its activities."""

import azure.durable_functions as df

flow = df.Blueprint()


@flow.orchestration_trigger(context_name="context")
def write_invoice(context: df.DurableOrchestrationContext):
    order = context.get_input()
    total = yield context.call_activity("sum_prices", order["items"])
    return {"customer": order["customer"], "total": total}


@flow.activity_trigger(input_name="items")
def sum_prices(items: list) -> float:
    return sum(item["price"] * item.get("count", 1) for item in items)

import azure.durable_functions as df


def restock(context: df.DurableOrchestrationContext):
    orders = []
    for item in context.get_input():
        count = yield context.call_activity("CountStock", item)
        if count < 5:
            order = yield context.call_activity("OrderGoods", {"item": item, "count": 5 - count})
            orders.append(order)
    return orders


main = df.Orchestrator.create(restock)

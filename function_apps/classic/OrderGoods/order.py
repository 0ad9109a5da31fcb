def order_goods(order: dict) -> str:
    return f"{order['count']} x {order['item']}"

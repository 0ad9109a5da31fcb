from ..classic_shop.stock import STOCK


def main(item: str) -> int:
    return STOCK.get(item, 0)

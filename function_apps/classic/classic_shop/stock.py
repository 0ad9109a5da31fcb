STOCK = {"apple": 7, "pear": 2}

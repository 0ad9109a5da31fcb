"""Routes with constraints, defaults and several parameters, and the three levels of keys."""

import json

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="orders/{number:int:min(1)}", methods=["GET"])
async def order_by_number(req: func.HttpRequest) -> func.HttpResponse:
    return answer(order=int(req.route_params["number"]))


@app.route(route="orders/{name:alpha}", methods=["GET"])
async def orders_by_name(req: func.HttpRequest) -> func.HttpResponse:
    return answer(customer=req.route_params["name"])


@app.route(route="files/{name}.{extension?}", methods=["GET"])
async def file_name(req: func.HttpRequest) -> func.HttpResponse:
    return answer(**req.route_params)


@app.route(route="sales/{year:range(2000,2099)}/{month:range(1,12)=1}/{*rest}", methods=["GET"])
async def sales(req: func.HttpRequest) -> func.HttpResponse:
    return answer(**req.route_params)


@app.route(route="shop/health", auth_level=func.AuthLevel.ANONYMOUS)
async def shop_health(req: func.HttpRequest) -> func.HttpResponse:
    return answer(open=True)


@app.route(route="shop/close", methods=["POST"], auth_level=func.AuthLevel.ADMIN)
async def shop_close(req: func.HttpRequest) -> func.HttpResponse:
    return answer(open=False)


def answer(**values: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(values), mimetype="application/json")

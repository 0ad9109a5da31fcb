"""Two HTTP functions: an async one, which runs on the event loop, and a sync one, in a thread."""

import logging

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello/{name?}", methods=["GET"])
async def hello(req: func.HttpRequest) -> func.HttpResponse:
    name = req.route_params.get("name") or req.params.get("name") or "world"
    logging.info("Greeting %s", name)
    return func.HttpResponse(f"Hello, {name}!")


@app.route(route="shout", methods=["POST"])
def shout(req: func.HttpRequest) -> func.HttpResponse:
    text = req.get_body().decode()
    if not text:
        return func.HttpResponse("Send some text to shout.", status_code=400)
    return func.HttpResponse(text.upper())

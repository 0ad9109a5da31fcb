"""An ASGI app behind one function. Any framework gives such an app; this one needs none."""

import json

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


async def letters(scope, receive, send):
    """Tell how often each letter comes in the body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    text = body.decode().lower()
    counts = {letter: text.count(letter) for letter in sorted(set(filter(str.isalpha, text)))}
    answer = {"path": scope["path"], "letters": counts}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


middleware = func.AsgiMiddleware(letters)


@app.route(route="asgi/{*path}")
async def asgi_letters(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return await middleware.handle_async(req, context)

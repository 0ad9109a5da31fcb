"""A WSGI app behind one function. Any framework gives such an app; this one needs none."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def backwards(environ, start_response):
    """Give the lines of the body in reverse."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    if environ["REQUEST_METHOD"] != "POST":
        start_response("405 Method Not Allowed", [("Allow", "POST")])
        return [b""]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [line + b"\n" for line in reversed(body.splitlines())]


middleware = func.WsgiMiddleware(backwards)


@app.route(route="wsgi/{*path}")
def wsgi_backwards(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return middleware.handle(req, context)

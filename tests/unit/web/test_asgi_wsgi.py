"""Whole web apps as function apps, and as middleware in a function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import azure.functions as func
import fastapi
import flask
import pytest
from support.serving import Client, serving

Serve = Callable[..., Any]
ASGI_LEVEL = func.AuthLevel.ANONYMOUS


def fastapi_app(**options: Any) -> fastapi.FastAPI:
    app = fastapi.FastAPI(**options)

    @app.get("/items/{item}")
    async def item(item: int, q: str = "") -> dict[str, object]:
        return {"item": item, "q": q}

    @app.post("/echo")
    async def echo(request: fastapi.Request) -> fastapi.Response:
        response = fastapi.Response(await request.body(), 201, {"X-Own": "1"}, "text/x-own")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.get("/who")
    async def who(request: fastapi.Request) -> dict[str, object]:
        scope = request.scope
        return {
            "url": str(request.url),
            "function": scope["azure_functions.function_name"],
            "client": scope["client"],
            "root_path": scope["root_path"],
            "header": request.headers["x-thing"],
        }

    @app.get("/fail")
    async def fail() -> None:
        raise LookupError("lost")

    return app


def flask_app() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/items/<int:item>")
    def item(item: int) -> dict[str, object]:
        return {"item": item, "q": flask.request.args.get("q", "")}

    @app.post("/echo")
    def echo() -> flask.Response:
        data = flask.request.get_data()
        response = flask.Response(data, 201, {"X-Own": "1"}, "text/x-own")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.get("/fail")
    def fail() -> tuple[str, int]:
        return "broken", 503

    return app


def asgi() -> Any:
    return func.AsgiFunctionApp(fastapi_app(), http_auth_level=ASGI_LEVEL)


def wsgi() -> Any:
    return func.WsgiFunctionApp(flask_app().wsgi_app, http_auth_level=ASGI_LEVEL)


BOTH = pytest.mark.parametrize("make", [asgi, wsgi])


@BOTH
async def test_app_answers_on_its_own_routes(make: Callable[[], Any]) -> None:
    async with serving(make(), route_prefix="") as client:
        status, text = await client.fetch("GET", "/items/5?q=x%20y")
        assert (status, text.replace(" ", "").rstrip()) == (200, '{"item":5,"q":"xy"}')
        assert (await client.fetch("GET", "/nowhere"))[0] == 404
        assert (await client.fetch("DELETE", "/items/5"))[0] == 405


@BOTH
async def test_app_owns_the_root_in_place_of_the_home_page(make: Callable[[], Any]) -> None:
    async with serving(make(), route_prefix="") as client:
        assert (await client.fetch("GET", "/"))[0] == 404


@BOTH
async def test_body_headers_and_cookies_pass(make: Callable[[], Any]) -> None:
    async with (
        serving(make(), route_prefix="") as client,
        client.session.post(client.base + "/echo", data=b"\x00body") as response,
    ):
        assert (response.status, await response.read()) == (201, b"\x00body")
        assert response.headers["X-Own"] == "1"
        assert response.headers["Content-Type"].startswith("text/x-own")
        cookies = [value.partition(";")[0] for value in response.headers.getall("Set-Cookie")]
        assert cookies == ["a=1", "b=2"]


@BOTH
async def test_failure_of_the_app_is_a_failed_invocation(make: Callable[[], Any]) -> None:
    async with serving(make(), route_prefix="", development=False) as client:
        assert await client.fetch("GET", "/fail") == (500, "")
        assert "Executed 'Functions.http_app_func' (Failed" in client.log.errors[0]


async def test_scope_tells_of_the_invocation() -> None:
    async with serving(asgi(), route_prefix="") as client:
        headers = {"X-Thing": "1", "Host": "my.host:81"}
        async with client.session.get(client.base + "/who", headers=headers) as response:
            assert await response.json() == {
                "url": "http://my.host:81/who",
                "function": "http_app_func",
                "client": None,
                "root_path": "",
                "header": "1",
            }


async def test_with_a_route_prefix_the_app_is_found_below_it() -> None:
    async with serving(asgi(), route_prefix="api") as client:
        # The path that the app sees has the prefix, as in the official host.
        assert await client.fetch("GET", "/api/items/5") == (404, '{"detail":"Not Found"}')
        assert await client.fetch("GET", "/items/5") == (404, "")


async def test_middleware_serves_apps_from_ordinary_functions() -> None:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    asgi_middleware = func.AsgiMiddleware(fastapi_app())
    wsgi_middleware = func.WsgiMiddleware(flask_app().wsgi_app)

    async def a(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return await asgi_middleware.handle_async(req, context)

    def w(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return wsgi_middleware.handle(req, context)

    app.route(route="items/{*rest}")(a)
    app.route(route="echo")(w)
    async with serving(app, route_prefix="") as client:
        assert await client.fetch("GET", "/items/5") == (200, '{"item":5,"q":""}')
        assert await client.fetch("POST", "/echo", data=b"x") == (201, "x")


class Life:
    """An ASGI app that counts what it is told of its life."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[str] = []

        @asynccontextmanager
        async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
            self.events.append("start")
            if fails:
                raise RuntimeError("no database")
            yield
            self.events.append("stop")

        self.app = func.AsgiFunctionApp(fastapi_app(lifespan=lifespan), http_auth_level=ASGI_LEVEL)


async def test_app_is_started_once_by_the_host_and_stopped_by_it() -> None:
    life = Life()

    async def request(client: Client) -> int:
        return (await client.fetch("GET", "/items/5"))[0]

    async with serving(life.app, route_prefix="") as client:
        assert life.events == ["start"]
        first, second = await asyncio.gather(request(client), request(client))
        assert (first, second) == (200, 200)
    assert life.events == ["start", "stop"]


async def test_app_that_cannot_start_fails_its_requests_and_is_not_stopped() -> None:
    life = Life(fails=True)
    async with serving(life.app, route_prefix="") as client:
        status, text = await client.fetch("GET", "/items/5")
        assert (status, "ASGI middleware startup failed" in text) == (500, True)
    assert "stop" not in life.events

# mypy: disable-error-code="untyped-decorator"
"""Functions of the streaming extension: requests and responses in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import azure.functions as func
import pytest
from aiohttp import web
from azurefunctions.extensions.http.fastapi import (
    JSONResponse,
    PlainTextResponse,
    Request,
    Response,
    StreamingResponse,
)
from support.apps import functions
from support.serving import app_of, serving

from func_py.discovery.apps import functions_of
from func_py_bindings.http_streaming import takes_stream


async def returning(value: object, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and text of what a function returned."""

    async def f(req: Request):  # type: ignore[no-untyped-def]
        return value

    async with (
        serving(app_of(f)) as client,
        client.session.request(method, client.base + "/api/f") as response,
    ):
        return response.status, response.headers.get("Content-Type", ""), await response.text()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PlainTextResponse("text", 201), (201, "text/plain; charset=utf-8", "text")),
        (JSONResponse({"a": 1}), (200, "application/json", '{"a":1}')),
        ({"a": 1}, (200, "application/json", '{"a":1}')),
        ("text", (200, "application/json", '"text"')),
        ([1, 2], (200, "application/json", "[1,2]")),
        (Response(status_code=204), (204, "", "")),
    ],
)
async def test_returned_value_is_sent_as_the_extension_sends_it(
    value: object, expected: tuple[int, str, str]
) -> None:
    assert await returning(value) == expected


async def test_request_has_route_values_query_headers_and_body() -> None:
    async def f(req: Request) -> dict:  # type: ignore[type-arg]
        return {
            "params": req.path_params,
            "query": dict(req.query_params),
            "header": req.headers["x-thing"],
            "url": str(req.url),
            "body": (await req.body()).decode(),
        }

    async with serving(app_of(f, route="a/{x:int}")) as client:
        url = client.base + "/api/a/5?q=x%20y"
        headers = {"X-Thing": "1"}
        async with client.session.post(url, data=b"body", headers=headers) as response:
            assert await response.json() == {
                "params": {"x": "5"},
                "query": {"q": "x y"},
                "header": "1",
                "url": url,
                "body": "body",
            }


async def test_response_arrives_while_it_is_made() -> None:
    go = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await go.wait()
        yield b"second"

    async def f(req: Request) -> StreamingResponse:
        return StreamingResponse(parts(), media_type="text/event-stream")

    async with (
        serving(app_of(f)) as client,
        client.session.get(client.base + "/api/f") as response,
    ):
        assert await response.content.readany() == b"first"
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        go.set()
        assert await response.content.read() == b"second"


async def test_request_is_read_while_it_arrives() -> None:
    arrived = asyncio.Event()
    received: list[bytes] = []

    async def f(req: Request) -> str:
        async for part in req.stream():
            received.append(part)
            arrived.set()
        return str(sum(map(len, received)))

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await arrived.wait()
        yield b"second"

    async with serving(app_of(f)) as client:
        assert await client.fetch("POST", "/api/f", data=parts()) == (200, '"11"')
    assert received[0] == b"first"


async def test_plain_function_may_take_a_stream() -> None:
    def f(req: Request) -> PlainTextResponse:
        return PlainTextResponse(req.method)

    async with serving(app_of(f)) as client:
        assert await client.fetch("PUT", "/api/f") == (200, "PUT")


async def test_head_gets_no_body() -> None:
    assert await returning(PlainTextResponse("text"), "HEAD") == (
        200,
        "text/plain; charset=utf-8",
        "",
    )


async def test_exception_is_a_failed_invocation_and_our_500() -> None:
    async def f(req: Request) -> str:
        raise LookupError("lost")

    async with serving(app_of(f), development=False) as client:
        assert await client.fetch("GET", "/api/f") == (500, "")
        assert "LookupError: lost" in client.log.errors[0]


async def test_stream_that_breaks_closes_the_connection() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise LookupError("lost")

    async def f(req: Request) -> StreamingResponse:
        return StreamingResponse(parts())

    async with serving(app_of(f)) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.fetch("GET", "/api/f")


async def test_body_above_the_limit_is_refused() -> None:
    async def f(req: Request) -> str:
        return str(len(await req.body()))

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1000

    async with serving(app_of(f), body_limit=3000) as client:
        assert await client.fetch("POST", "/api/f", data=chunks(3)) == (200, '"3000"')
        assert await client.fetch("POST", "/api/f", data=chunks(4)) == (413, "")
        assert await client.fetch("POST", "/api/f", data=b"x" * 3001) == (413, "")


async def test_client_that_waits_for_100_continue_gets_it() -> None:
    async def f(req: Request) -> str:
        return str((await req.body()).decode())

    async with serving(app_of(f)) as client:
        answer = await client.fetch("POST", "/api/f", data=b"big", expect100=True)
        assert answer == (200, '"big"')


async def test_client_that_goes_away_ends_the_stream() -> None:
    ended = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def f(req: Request) -> StreamingResponse:
        return StreamingResponse(parts())

    async with serving(app_of(f)) as client:
        async with client.session.get(client.base + "/api/f") as response:
            await response.content.readany()
            response.close()
        await ended.wait()
        assert client.log.errors == []


async def test_authorizer_is_asked_first() -> None:
    def nobody(request: web.BaseRequest, function: Any, level: str) -> bool:
        return False

    async def f(req: Request) -> str:
        return "x"

    async with serving(app_of(f), authorizer=nobody) as client:
        assert await client.fetch("GET", "/api/f") == (401, "")


async def test_ordinary_functions_go_on_beside_streaming_ones() -> None:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="a")
    async def a(req: func.HttpRequest) -> str:
        return "a"

    @app.route(route="b")
    async def b(req: Request) -> str:
        return "b"

    async with serving(app) as client:
        assert await client.fetch("GET", "/api/a") == (200, "a")
        assert await client.fetch("GET", "/api/b") == (200, '"b"')


def test_annotation_decides_whether_a_function_takes_a_stream() -> None:
    async def stream(req: Request) -> str: ...  # type: ignore[empty-body]

    async def plain(req: func.HttpRequest) -> str: ...  # type: ignore[empty-body]

    async def bare(req): ...  # type: ignore[no-untyped-def]

    found = [takes_stream(functions(app_of(code))["f"]) for code in (stream, plain, bare)]
    assert found == [True, False, False]


def test_value_of_the_extension_is_no_response_of_an_ordinary_function() -> None:
    async def f(req: func.HttpRequest) -> dict: ...  # type: ignore[type-arg, empty-body]

    module = ModuleType("function_app")
    module.app = app_of(f)  # type: ignore[attr-defined]
    _, (problem,) = functions_of(module, Path(__file__))
    assert "the return annotation builtins.dict does not match" in problem

# mypy: disable-error-code="untyped-decorator"
"""The HTTP front end, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import azure.functions as func
import pytest
from aiohttp import web
from support.apps import RecordedLog, functions
from support.serving import Client, app_of, serving

from func_py.errors import ConfigError
from func_py.invocation import Invoker
from func_py.web import HttpFrontEnd, Mount


async def echo(req: func.HttpRequest) -> func.HttpResponse:
    text = f"{req.method} {dict(req.params)} {dict(req.route_params)} {req.get_body().decode()}"
    return func.HttpResponse(text, status_code=201, headers={"X-Url": req.url})


async def test_request_reaches_the_function_and_its_response_the_client() -> None:
    async with serving(app_of(echo, route="e/{id}")) as client:
        url = f"{client.base}/api/e/7?a=1&a=2&b=&c=x%20y"
        async with client.session.post(url, data=b"body") as response:
            assert response.status == 201
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert response.headers["X-Url"] == url
            assert response.headers["Server"] == "func-py"
            text = "POST {'a': '1,2', 'c': 'x y'} {'id': '7'} body"
            assert await response.text() == text


async def test_plain_function_answers_too() -> None:
    def plain(req: func.HttpRequest) -> str:
        return "plain"

    async with serving(app_of(plain)) as client:
        assert await client.fetch("GET", "/api/f") == (200, "plain")


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "/e"), ("v1/x", "/v1/x/e"), ("/api/", "/api/e"), ("api", "/API/E/")]
)
async def test_route_prefix_comes_first(prefix: str, path: str) -> None:
    async with serving(app_of(echo, route="/e"), route_prefix=prefix) as client:
        assert (await client.fetch("GET", path))[0] == 201


async def test_unknown_path_and_wrong_method_are_both_not_found() -> None:
    async with serving(app_of(echo, route="e", methods=["GET"])) as client:
        assert await client.fetch("GET", "/api/other") == (404, "")
        assert await client.fetch("POST", "/api/e") == (404, "")
        assert await client.fetch("HEAD", "/api/e") == (404, "")


async def test_functions_are_tried_in_the_order_of_their_names() -> None:
    app = func.FunctionApp()

    @app.route(route="b/exact")
    def b_exact(req: func.HttpRequest) -> str:
        return "b"

    @app.route(route="{*any}")
    def A_catch(req: func.HttpRequest) -> str:
        return "a"

    async with serving(app) as client:
        assert await client.fetch("GET", "/api/b/exact") == (200, "a")


async def test_home_page_shows_that_the_app_runs() -> None:
    async with serving(app_of(echo)) as client:
        status, text = await client.fetch("GET", "/")
        assert status == 200
        assert "up and running" in text


async def test_function_on_the_root_replaces_the_home_page() -> None:
    async with serving(app_of(echo, route="/{*rest}"), route_prefix="") as client:
        assert (await client.fetch("GET", "/"))[0] == 201


async def test_home_page_that_is_switched_off_is_empty() -> None:
    async with serving(app_of(echo), home_page=False) as client:
        assert await client.fetch("GET", "/") == (204, "")
        assert await client.fetch("GET", "/api/nothing") == (404, "")


async def raising(req: func.HttpRequest) -> str:
    raise LookupError("lost")


async def test_exception_is_told_shortly_in_development_and_logged() -> None:
    async with serving(app_of(raising)) as client:
        status, text = await client.fetch("GET", "/api/f")
        assert status == 500
        assert text.startswith("Function 'f' failed: LookupError: lost\n")
        assert "Traceback" not in text
        assert "LookupError: lost" in client.log.errors[0]


async def test_exception_tells_nothing_outside_development() -> None:
    async with serving(app_of(raising), development=False) as client:
        assert await client.fetch("GET", "/api/f") == (500, "")


async def test_function_that_returns_none_is_an_error_with_a_clear_log() -> None:
    async def nothing(req: func.HttpRequest):  # type: ignore[no-untyped-def]
        return None

    async with serving(app_of(nothing), development=False) as client:
        assert await client.fetch("GET", "/api/f") == (500, "")
        assert "function 'f' returned a value of type 'NoneType'" in client.log.errors[0]
        assert "Is a 'return' missing?" in client.log.errors[0]


async def test_cookies_and_repeated_headers_stay_separate() -> None:
    async def many(req: func.HttpRequest) -> func.HttpResponse:
        response = func.HttpResponse("x")
        for header, value in (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Link", "<a>")):
            response.headers.add(header, value)
        response.headers.add("Link", "<b>")
        return response

    async with (
        serving(app_of(many)) as client,
        client.session.get(client.base + "/api/f") as response,
    ):
        assert response.headers.getall("Set-Cookie") == [
            "a=1; domain=; path=",
            "b=2; domain=; path=",
        ]
        assert response.headers.getall("Link") == ["<a>", "<b>"]


async def test_no_content_has_no_body() -> None:
    async def empty(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(status_code=204)

    async with serving(app_of(empty)) as client:
        assert await client.fetch("GET", "/api/f") == (204, "")


async def test_response_that_cannot_be_sent_is_a_logged_failure() -> None:
    async def split(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("x", headers={"X-A": "1\r\nX-B: 2"})

    async with serving(app_of(split)) as client:
        assert (await client.fetch("GET", "/api/f"))[0] == 500
        assert "X-A" in client.log.errors[0]


async def test_body_up_to_the_limit_is_accepted_and_above_it_refused() -> None:
    async def size(req: func.HttpRequest) -> str:
        return str(len(req.get_body()))

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1000

    async with serving(app_of(size), body_limit=3000) as client:
        assert await client.fetch("POST", "/api/f", data=b"x" * 3000) == (200, "3000")
        assert await client.fetch("POST", "/api/f", data=b"x" * 3001) == (413, "")
        assert await client.fetch("POST", "/api/f", data=chunks(3)) == (200, "3000")
        assert await client.fetch("POST", "/api/f", data=chunks(4)) == (413, "")


async def test_compressed_body_reaches_the_function_as_it_came() -> None:
    async def first_bytes(req: func.HttpRequest) -> str:
        return str(req.get_body()[:2].hex())

    headers = {"Content-Encoding": "gzip"}
    async with serving(app_of(first_bytes)) as client:
        answer = await client.fetch("POST", "/api/f", data=b"\x1f\x8brest", headers=headers)
        assert answer == (200, "1f8b")


async def test_client_that_waits_for_100_continue_gets_it() -> None:
    async with serving(app_of(echo)) as client:
        answer = await client.fetch("POST", "/api/f", data=b"big", expect100=True)
        assert answer == (201, "POST {} {} big")


async def test_authorizer_decides_after_the_route_has_matched() -> None:
    asked: list[tuple[str, str]] = []

    def nobody(request: web.BaseRequest, function: Any, level: str) -> bool:
        asked.append((function.name, level))
        return False

    async with serving(app_of(echo, auth_level="ADMIN"), authorizer=nobody) as client:
        assert await client.fetch("GET", "/api/f") == (401, "")
        assert await client.fetch("GET", "/api/other") == (404, "")
    assert asked == [("f", "admin")]


async def test_mount_answers_below_its_prefix_and_nowhere_else() -> None:
    async def admin(request: web.BaseRequest) -> web.Response:
        return web.Response(text="admin " + request.path)

    app = app_of(echo, route="{*rest}")
    async with serving(app, route_prefix="", mounts=[Mount("/admin", admin)]) as client:
        assert await client.fetch("GET", "/Admin/host") == (200, "admin /Admin/host")
        assert await client.fetch("GET", "/admin") == (200, "admin /admin")
        assert (await client.fetch("GET", "/administrators"))[0] == 201


async def test_trace_of_the_caller_is_continued() -> None:
    async def trace(req: func.HttpRequest, context: func.Context) -> str:
        return f"{context.trace_context.trace_parent} {context.trace_context.trace_state}"

    headers = {"traceparent": "00-a-b-01", "tracestate": "s=1"}
    async with serving(app_of(trace)) as client:
        assert await client.fetch("GET", "/api/f", headers=headers) == (200, "00-a-b-01 s=1")


async def test_function_runs_to_its_end_when_its_client_goes_away() -> None:
    started, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(req: func.HttpRequest) -> str:
        started.set()
        await go.wait()
        ended.set()
        return "x"

    async with serving(app_of(slow)) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET /api/f HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        writer.transport.abort()
        await asyncio.sleep(0)
        go.set()
        await ended.wait()
        assert (await client.fetch("GET", "/"))[0] == 200
        assert client.log.errors == []


async def test_request_without_host_header_is_served() -> None:
    async def url(req: func.HttpRequest) -> str:
        return str(req.url)

    async with serving(app_of(url)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET /api/f?x=1 HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\nhttp://localhost/api/f?x=1")
        writer.close()


async def test_upload_cut_short_calls_no_function_and_logs_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[object] = []

    async def never(req: func.HttpRequest) -> str:
        called.append(req)
        return "x"

    async with serving(app_of(never)) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"POST /api/f HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        await client.fetch("GET", "/")
        writer.transport.abort()
        await client.fetch("GET", "/")
        assert called == []
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def stopping(
    client: Client, go: asyncio.Event, grace: float
) -> Callable[[], Awaitable[None]]:
    stop = asyncio.create_task(client.front_end.stop(grace))
    await asyncio.sleep(0)
    go.set()

    async def stopped() -> None:
        await stop

    return stopped


async def test_stop_lets_a_running_request_finish_and_closes_its_connection() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(req: func.HttpRequest) -> str:
        started.set()
        await go.wait()
        return "finished"

    async with serving(app_of(slow)) as client:
        answer = asyncio.create_task(client.session.get(client.base + "/api/f"))
        await started.wait()
        stopped = await stopping(client, go, grace=30)
        async with await answer as response:
            assert await response.text() == "finished"
            assert response.headers["Connection"] == "close"
        await stopped()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", client.port)


async def test_stop_without_grace_cancels_what_runs_and_logs_it() -> None:
    started = asyncio.Event()

    async def forever(req: func.HttpRequest) -> str:
        started.set()
        await asyncio.Event().wait()
        return "x"

    async with serving(app_of(forever)) as client:
        answer = asyncio.create_task(client.session.get(client.base + "/api/f"))
        await started.wait()
        await client.front_end.stop(0)
        with pytest.raises(aiohttp.ClientError):
            await answer
        await asyncio.sleep(0)
        assert "Cancelled" in client.log.errors[0]


def test_bad_route_prefix_is_told_as_a_mistake_of_host_json() -> None:
    app = app_of(echo, route="e")
    with pytest.raises(ConfigError, match=r"extensions\.http\.routePrefix: '\{' without '\}'"):
        HttpFrontEnd(functions(app).values(), Invoker(RecordedLog()), route_prefix="{x")

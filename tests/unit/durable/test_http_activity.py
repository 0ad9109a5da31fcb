"""The activity behind `call_http`, against a server on the loopback."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.engine import Activities, Host, until
from support.hubs import HubFactory

from func_py.clock import VirtualClock
from func_py.durable.engine import EngineOptions
from func_py.durable.engine.http_activity import HttpActivity
from func_py.durable.model import ActivityResult, ActivityTask, RuntimeStatus, TraceContext
from func_py.durable.replay.decisions import HTTP_ACTIVITY_NAME

Handler = Callable[[web.Request], Any]


class Server:
    """Answers with `handler` and remembers what it was asked."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[tuple[str, str, dict[str, str], str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, body))
        response: web.StreamResponse = self._handler(request)
        return response


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Server, str]]:
    """A server that runs, and its base URL."""
    server = Server(handler)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    async with TestServer(app) as running:
        yield server, str(running.make_url("/")).rstrip("/")


def ok(request: web.Request) -> web.Response:
    return web.Response(text="done")


class Caller:
    """Makes calls as the engine does, with a clock that stands still."""

    def __init__(self) -> None:
        self.clock = VirtualClock(datetime(2030, 1, 1, tzinfo=UTC))
        self.others = Activities({"double": lambda value: value * 2})
        self.activity = HttpActivity(self.others, self.clock, timedelta(seconds=30))

    async def raw(self, text: str, trace: TraceContext | None = None) -> ActivityResult:
        return await self.activity.run(
            ActivityTask(
                instance_id="i",
                execution_id="e",
                task_id=0,
                name=HTTP_ACTIVITY_NAME,
                input=text,
                trace=trace,
            )
        )

    async def call(self, uri: str, method: str = "GET", **members: Any) -> Any:
        """The answer of a call that must not fail."""
        members = {"content": None, "headers": None, **members}
        result = await self.raw(json.dumps({"method": method, "uri": uri, **members}))
        assert result.failure is None, result.failure
        return json.loads(result.result or "")


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    made = Caller()
    yield made
    await made.activity.close()


async def test_an_answer_has_status_headers_and_content(caller: Caller) -> None:
    def handler(request: web.Request) -> web.Response:
        response = web.Response(status=404, text="nö", headers={"X-One": "1"})
        response.headers.add("X-Two", "a")
        response.headers.add("X-Two", "b")
        return response

    async with serving(handler) as (_, url):
        answer = await caller.call(f"{url}/x?y=1")

    assert (answer["statusCode"], answer["content"]) == (404, "nö")
    assert (answer["headers"]["X-One"], answer["headers"]["X-Two"]) == ("1", ["a", "b"])


async def test_a_request_is_sent_as_it_was_asked_for(caller: Caller) -> None:
    async with serving(ok) as (server, url):
        await caller.call(
            f"{url}/x?y=1",
            "PUT",
            content='{"a": "ö"}',
            headers={"content-type": "application/json", "X-Mine": "1"},
        )

    ((method, path, headers, body),) = server.requests
    assert (method, path, body) == ("PUT", "/x?y=1", '{"a": "ö"}')
    assert (headers["content-type"], headers["x-mine"]) == ("application/json", "1")
    assert "accept-encoding" not in headers


async def test_content_without_a_type_is_plain_text(caller: Caller) -> None:
    async with serving(ok) as (server, url):
        await caller.call(url, "POST", content="hello")
        await caller.call(url, "POST")

    assert [headers.get("content-type") for _, _, headers, _ in server.requests] == [
        "text/plain; charset=utf-8",
        None,
    ]


async def test_the_trace_goes_along_unless_the_request_has_one(caller: Caller) -> None:
    async with serving(ok) as (server, url):
        for headers in ({}, {"Traceparent": "own"}):
            text = json.dumps({"method": "GET", "uri": url, "headers": headers})
            await caller.raw(text, TraceContext(trace_parent="00-a-b-01"))

    assert [headers["traceparent"] for _, _, headers, _ in server.requests] == ["00-a-b-01", "own"]


def polled(answers: int, retry_after: str | None = None) -> Handler:
    """202 so many times, then 200."""
    left = answers

    def handler(request: web.Request) -> web.Response:
        nonlocal left
        if left == 0:
            return web.Response(text="at last")
        left -= 1
        headers = {"Location": f"/status/{left}"}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        return web.Response(status=202, headers=headers)

    return handler


async def polls(caller: Caller, server: Server, wait: int) -> None:
    """Move the clock so that the next poll is made, and check that none is made before."""

    async def waits() -> bool:
        return any(when > caller.clock.now() for when, _, due in caller.clock._due)

    await until(waits, "the wait for the next poll")
    count = len(server.requests)
    caller.clock.advance(timedelta(seconds=wait - 1))
    await asyncio.sleep(0)
    assert len(server.requests) == count
    caller.clock.advance(timedelta(seconds=1))

    async def asked() -> bool:
        return len(server.requests) > count

    await until(asked, "the next poll")


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(None, 30), ("5", 5), ("Tue, 01 Jan 2030 00:00:07 GMT", 7), ("soon", 30)],
)
async def test_202_is_followed_up_when_the_server_says(
    caller: Caller, retry_after: str | None, wait: int
) -> None:
    async with serving(polled(1, retry_after)) as (server, url):
        headers = {"X-Functions-Key": "secret", "X-Mine": "1", "Content-Type": "a/b"}
        running = asyncio.create_task(
            caller.call(f"{url}/job", "POST", content="x", headers=headers)
        )
        await polls(caller, server, wait)
        answer = await running

    assert (answer["statusCode"], answer["content"]) == (200, "at last")
    (method, path, headers, body) = server.requests[1]
    assert (method, path, body, headers["x-mine"]) == ("GET", "/status/0", "", "1")
    assert "x-functions-key" not in headers
    assert "content-type" not in headers
    assert server.requests[0][2]["x-functions-key"] == "secret"


async def test_polling_goes_on_until_the_answer_is_another(caller: Caller) -> None:
    async with serving(polled(3, "1")) as (server, url):
        running = asyncio.create_task(caller.call(f"{url}/job"))
        for _ in range(3):
            await polls(caller, server, 1)
        await running

    assert [path for _, path, _, _ in server.requests] == [
        "/job",
        "/status/2",
        "/status/1",
        "/status/0",
    ]


async def test_202_without_a_place_to_look_is_the_answer(caller: Caller) -> None:
    async with serving(lambda _: web.Response(status=202, text="ok")) as (_, url):
        assert (await caller.call(url))["statusCode"] == 202


@pytest.mark.parametrize(
    ("request_text", "problem"),
    [
        ('{"method": "GET", "uri": "http://127.0.0.1:1/x"}', "GET http://127.0.0.1:1/x: "),
        ('{"method": "GET", "uri": "nowhere"}', "GET nowhere: "),
        ('{"method": "GET"}', "the request cannot be read"),
        (
            '{"method": "GET", "uri": "http://a", "headers": {"Content-Type": "multipart/mixed"}}',
            "multipart content is not supported",
        ),
    ],
)
async def test_a_call_without_answer_is_a_failure_that_says_why(
    caller: Caller, request_text: str, problem: str
) -> None:
    failure = (await caller.raw(request_text)).failure
    assert failure is not None
    assert problem in failure.message


async def test_a_token_is_asked_of_the_identity_and_sent(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class DefaultAzureCredential:
        async def get_token(self, scope: str) -> Any:
            asked.append(scope)
            return type("Token", (), {"token": "t0ken"})

        async def close(self) -> None:
            asked.append("closed")

    identity = ModuleType("azure.identity.aio")
    identity.DefaultAzureCredential = DefaultAzureCredential  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure.identity", ModuleType("azure.identity"))
    monkeypatch.setitem(sys.modules, "azure.identity.aio", identity)
    source = {"resource": "https://vault.azure.net/", "kind": "AzureManagedIdentity"}

    async with serving(ok) as (server, url):
        await caller.call(url, tokenSource=source)
    await caller.activity.close()

    assert server.requests[0][2]["authorization"] == "Bearer t0ken"
    assert asked == ["https://vault.azure.net/.default", "closed"]


async def test_a_token_without_the_identity_package_is_a_failure_that_names_it(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    text = '{"method": "GET", "uri": "http://127.0.0.1:1", "tokenSource": {"resource": "r"}}'
    failure = (await caller.raw(text)).failure
    assert failure is not None
    assert "azure-identity" in failure.message


async def test_every_other_activity_is_left_to_the_app(caller: Caller) -> None:
    result = await caller.activity.run(
        ActivityTask(instance_id="i", execution_id="e", task_id=0, name="double", input="4")
    )
    assert result == ActivityResult(result="8")


# ---- on the engine -----------------------------------------------------------------------------


def fetches(context: Any) -> Any:
    answers = yield context.task_all(
        [context.call_http("GET", f"{context.get_input()}/{n}") for n in range(3)]
    )
    return [answer["content"] for answer in answers]


def fails(context: Any) -> Any:
    try:
        yield context.call_http("GET", "http://127.0.0.1:1/x")
    except Exception as error:  # noqa: BLE001 - the SDK raises just that
        return str(error)


async def test_an_orchestrator_gets_the_answers_of_its_calls(hub_factory: HubFactory) -> None:
    async with (
        serving(lambda request: web.Response(text=request.path)) as (_, url),
        Host(hub_factory(), {"fetches": fetches}) as host,
    ):
        state = await host.run("fetches", url)

    assert json.loads(state.output or "") == ["/0", "/1", "/2"]


async def test_an_orchestrator_is_told_when_there_is_no_answer(hub_factory: HubFactory) -> None:
    async with Host(hub_factory(), {"fails": fails}) as host:
        state = await host.run("fails")

    assert state.status is RuntimeStatus.COMPLETED
    assert "GET http://127.0.0.1:1/x: " in (state.output or "")


def waits_beside(context: Any) -> Any:
    call = context.call_http("GET", context.get_input())
    done = context.call_activity("same", "done")
    winner = yield context.task_any([call, done])
    return winner.result


async def test_calls_that_wait_for_a_server_keep_no_activity_waiting(
    hub_factory: HubFactory,
) -> None:
    async with serving(polled(1000, "3600")) as (_, url):
        options = EngineOptions(max_activities=1)
        functions = {"waits_beside": waits_beside}
        same = {"same": lambda value: value}
        async with Host(hub_factory(), functions, same, options=options) as host:
            state = await host.run("waits_beside", url)
            await host.engine.stop(0)

    assert state.output == '"done"'

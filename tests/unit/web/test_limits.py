# mypy: disable-error-code="untyped-decorator"
"""How many requests run, wait, and are refused."""

from __future__ import annotations

import asyncio

import azure.functions as func
from aiohttp import web
from support.web_client import WebClient, serving

from func_py.web import Handler, Mount
from func_py.web.limits import RequestLimits


class Gate:
    """Holds requests until it is opened; knows how many are in."""

    def __init__(self) -> None:
        self.inside = 0
        self._changed = asyncio.Event()
        self._open = asyncio.Event()

    def app(self) -> func.FunctionApp:
        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

        @app.route(route="wait")
        async def wait(req: func.HttpRequest) -> str:
            self.inside += 1
            self._changed.set()
            await self._open.wait()
            return "done"

        return app

    async def filled(self, count: int) -> None:
        while self.inside < count:
            self._changed.clear()
            await self._changed.wait()

    def open(self) -> None:
        self._open.set()


async def status_of(client: WebClient) -> int:
    return (await client.send("GET", "/api/wait")).status


async def test_more_than_the_outstanding_requests_are_refused() -> None:
    gate = Gate()
    async with serving(gate.app(), wrappers=[RequestLimits(2, -1).around]) as client:
        first = [asyncio.create_task(status_of(client)) for _ in range(2)]
        await gate.filled(2)

        refused = await client.send("GET", "/api/wait")
        gate.open()

        assert (refused.status, refused.text) == (429, "")
        assert refused.headers["X-FUNCTION-SCALEOUT"] == "1"
        assert await asyncio.gather(*first) == [200, 200]
        assert await status_of(client) == 200


async def test_requests_beyond_the_concurrent_ones_wait_their_turn() -> None:
    gate = Gate()
    limits = RequestLimits(3, 1)
    arrived = asyncio.Semaphore(0)

    def counted(handler: Handler) -> Handler:
        limited = limits.around(handler)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            arrived.release()
            return await limited(request)

        return answer

    async with serving(gate.app(), wrappers=[counted]) as client:
        tasks = [asyncio.create_task(status_of(client)) for _ in range(3)]
        for _ in tasks:
            await arrived.acquire()
        await gate.filled(1)

        assert gate.inside == 1
        gate.open()
        assert await asyncio.gather(*tasks) == [200, 200, 200]


async def test_the_admin_api_is_never_refused() -> None:
    async def admin(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="alive")

    gate = Gate()
    async with serving(
        gate.app(),
        lambda *_: [Mount("/admin", admin)],
        wrappers=[RequestLimits(1, 1).around],
    ) as client:
        first = asyncio.create_task(status_of(client))
        await gate.filled(1)

        assert (await client.send("GET", "/admin/host/ping")).text == "alive"
        gate.open()
        assert await first == 200

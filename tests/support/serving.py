"""Apps behind a front end on a real socket, and a client to them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import azure.functions as func
from support.apps import RecordedLog, functions

from func_py.invocation import Invoker
from func_py.web import HttpFrontEnd


class Client:
    """A front end that serves an app, and requests to it."""

    def __init__(self, front_end: HttpFrontEnd, port: int, log: RecordedLog) -> None:
        self.front_end = front_end
        self.port = port
        self.log = log
        self.base = f"http://127.0.0.1:{port}"
        self.session = aiohttp.ClientSession()

    async def fetch(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and text of an answer."""
        async with self.session.request(method, self.base + path, **options) as response:
            return response.status, await response.text()


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Client]:
    """Serve an app object; `options` are the front end's."""
    log = RecordedLog()
    invoker = Invoker(log)
    front_end = HttpFrontEnd(functions(app).values(), invoker, **options)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await front_end.start(sock)
    client = Client(front_end, port, log)
    try:
        yield client
    finally:
        await client.session.close()
        await front_end.stop(0)
        invoker.close()


def app_of(code: Callable[..., Any], **route: Any) -> func.FunctionApp:
    """An app of one HTTP function `f`."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.function_name("f")(app.route(**route)(code))
    return app

"""A front end that serves an app on a socket, and requests to it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import azure.functions as func
from support.apps import RecordedLog, functions

from func_py.invocation import Invoker
from func_py.web import HttpFrontEnd, Mount
from func_py_bindings.contract import FunctionSpec


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    text: str
    headers: Mapping[str, str]
    body: Any = None
    """The JSON value, when it is JSON."""


class WebClient:
    """Sends requests to one front end."""

    def __init__(self, port: int, log: RecordedLog, session: aiohttp.ClientSession) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.log = log
        self._session = session

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request; `options` are those of aiohttp."""
        async with self._session.request(method, self.base + path, **options) as response:
            body = await response.json() if "json" in response.content_type else None
            return Answer(response.status, await response.text(), response.headers, body)


Mounts = Callable[[list[FunctionSpec], Invoker, RecordedLog], list[Mount]]


@asynccontextmanager
async def serving(
    app: func.FunctionApp, mounts: Mounts | None = None, **options: Any
) -> AsyncIterator[WebClient]:
    """Serve an app; `options` are those of `HttpFrontEnd`."""
    log = RecordedLog()
    invoker = Invoker(log)
    specs = list(functions(app).values())
    front_end = HttpFrontEnd(
        specs, invoker, mounts=mounts(specs, invoker, log) if mounts else (), **options
    )
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await front_end.start(sock)
    try:
        async with aiohttp.ClientSession() as session:
            yield WebClient(port, log, session)
    finally:
        await front_end.stop(0)
        invoker.close()

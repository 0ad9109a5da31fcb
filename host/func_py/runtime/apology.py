"""What answers while there is no app that could: 503, and why."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from func_py.invocation import Invoker
from func_py.logs import Logs, LogSettings
from func_py.runtime.hand_over import Host
from func_py.supervisor.protocol import Loaded, Ready
from func_py.web import HttpFrontEnd
from func_py.web.front_end import Handler


@asynccontextmanager
async def apologizing(text: str) -> AsyncIterator[Host]:
    """A host without an app; each request is answered with 503 and the text."""

    def around(handler: Handler) -> Handler:
        async def apologize(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=503, text=text, headers={"Server": "func-py"})

        return apologize

    invoker = Invoker(Logs(LogSettings()))
    front_end = HttpFrontEnd((), invoker, wrappers=[around])

    async def take_over(listener: socket.socket) -> Ready:
        await front_end.start(listener)
        return Ready(functions=(), facts=())

    try:
        yield Host(
            loaded=Loaded(drain_s=1.0), take_over=take_over, front_end=front_end, invoker=invoker
        )
    finally:
        await front_end.stop(0)
        invoker.close()

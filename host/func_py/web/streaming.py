"""HTTP functions that read their request and send their response as streams.

The types are those of an SDK extension, which brings an ASGI app that turns what a function returns
into a response. Here that app is called for each request, between aiohttp and the invocation. The
official host puts a second server and a proxy in that place.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from func_py.invocation import Failure
from func_py_bindings.http_streaming import base_extension

Message = MutableMapping[str, Any]

StreamedCall = Callable[[Any], Awaitable[object]]
"""Invokes the function with the extension's request object; its value, or a `Failure`."""

_CALL = "func_py.call"
_CONTINUE = "100-continue"
_ENCODING = "latin-1"


class _Failed(Exception):
    """Carries a failed invocation through the extension's app."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class StreamingApp:
    """The extension's web app; one for all its functions. Made after the app was loaded.

    Args:
        body_limit: Bytes of a request body at most.
        prepare: Called with every response before its headers are sent.
    """

    def __init__(self, body_limit: int, prepare: Callable[[web.StreamResponse], object]) -> None:
        base: Any = base_extension()
        self._body_limit = body_limit
        self._prepare = prepare
        self._synchronizer = base.RequestTrackerMeta.get_synchronizer()
        extension: Any = importlib.import_module(base.ModuleTrackerMeta.get_module())
        app = extension.WebApp()

        async def call_function(request: Any) -> Any:
            return await request.scope[_CALL](request)

        # The extension's framework gives the request to the parameter of this type.
        call_function.__annotations__ = {"request": base.RequestTrackerMeta.get_request_type()}
        app.route(call_function)
        self._app = app.get_app()

    async def respond(
        self, request: web.BaseRequest, route_params: Mapping[str, str], call: StreamedCall
    ) -> web.StreamResponse | Failure:
        """Answer a request by a function.

        Returns:
            The response, sent already, or the failed invocation, of which nothing was sent.
        """

        async def run(streamed: Any) -> object:
            self._synchronizer.sync_route_params(streamed, dict(route_params))
            outcome = await call(streamed)
            if isinstance(outcome, Failure):
                # What the extension's app would answer is not for the client.
                exchange.is_mute = True
                raise _Failed(outcome)
            return outcome

        exchange = _Exchange(request, self._body_limit, self._prepare)
        scope = _scope(request)
        scope[_CALL] = run
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except _Failed as failed:
            return failed.failure
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client is gone.
        except Exception:
            if exchange.response is None or not exchange.response.prepared:
                raise
            # Half of a response is out: only a closed connection tells the client.
            exchange.abort()
        return exchange.response or web.Response(status=500)


class _Exchange:
    """`receive` and `send` of ASGI on one aiohttp request."""

    def __init__(
        self,
        request: web.BaseRequest,
        body_limit: int,
        prepare: Callable[[web.StreamResponse], object],
    ) -> None:
        self.response: web.StreamResponse | None = None
        self.is_mute = False
        self._request = request
        self._limit = body_limit
        self._prepare = prepare
        self._received = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part of the body; after the last one, the end of the connection."""
        if self._is_whole:
            transport = self._request.transport
            if transport is not None and not transport.is_closing():
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}
        if self._received == 0 and self._request.headers.get("Expect", "").lower() == _CONTINUE:
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        part = await self._request.content.readany()
        self._received += len(part)
        if self._received > self._limit:
            raise web.HTTPRequestEntityTooLarge(self._limit, self._received)
        self._is_whole = self._request.content.at_eof()
        return {"type": "http.request", "body": part, "more_body": not self._is_whole}

    async def send(self, message: Message) -> None:
        """Send a part of the response, unless mute."""
        if self.is_mute:
            return
        if message["type"] == "http.response.start":
            headers = CIMultiDict(
                (name.decode(_ENCODING), value.decode(_ENCODING))
                for name, value in message["headers"]
            )
            self.response = web.StreamResponse(status=message["status"], headers=headers)
            return
        if message["type"] != "http.response.body" or self.response is None:
            return
        if not self.response.prepared:
            self._prepare(self.response)
            await self.response.prepare(self._request)
        body = message.get("body", b"")
        if body and self._request.method != "HEAD":
            await self.response.write(body)
        if not message.get("more_body", False):
            await self.response.write_eof()

    def abort(self) -> None:
        """Close the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()


def _scope(request: web.BaseRequest) -> dict[str, Any]:
    path, _, query = request.raw_path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.rel_url.path,
        "raw_path": path.encode(_ENCODING, "replace"),
        "query_string": query.encode(_ENCODING, "replace"),
        "root_path": "",
        "headers": [
            (
                name.lower().encode("utf-8", "surrogateescape"),
                value.encode("utf-8", "surrogateescape"),
            )
            for name, value in request.headers.items()
        ],
        "client": _address(request, "peername"),
        "server": _address(request, "sockname"),
    }


def _address(request: web.BaseRequest, which: str) -> tuple[str, int] | None:
    found = None if request.transport is None else request.transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None

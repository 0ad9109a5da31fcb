"""The HTTP front end: one aiohttp server for the app's functions, the mounts and the home page.

Order seen by a client: mounts, functions, home page, 404. Built on aiohttp's low-level server,
because routing here follows other rules than aiohttp's and must cost less.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from multidict import istr

from func_py.errors import ConfigError
from func_py.invocation import Failure, Invoker, PreparedFunction
from func_py.web.extra_headers import Decorator
from func_py.web.last_requests import accept_waiting, stop_accepting, wait_for_connections
from func_py.web.routing import RouteTable
from func_py.web.server import Server
from func_py.web.streaming import StreamingApp
from func_py_bindings.contract import FunctionSpec, Lifespan
from func_py_bindings.http import (
    AuthLevel,
    HttpEndpoint,
    HttpResult,
    IncomingRequest,
    endpoint_of,
    http_data,
    http_request,
)
from func_py_bindings.http_streaming import stream_data, takes_stream
from func_py_bindings.route_template import RouteTemplate

logger = logging.getLogger(__name__)

DEFAULT_BODY_LIMIT = 104_857_600
"""Bytes of a request body at most (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`)."""

REASON = "This function was programmatically called via the host APIs."
_SERVER = "func-py"
_TRACE_PARENT, _TRACE_STATE = istr("traceparent"), istr("tracestate")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

Wrapper = Callable[[Handler], Handler]
"""Makes a handler that does something before or instead of the one it is given."""

Authorizer = Callable[[web.BaseRequest, FunctionSpec, AuthLevel], bool]
"""Whether a request may call a function of this level. Called on the loop, must not block."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A part of the host that answers every path below `prefix`, such as `/admin`."""

    prefix: str
    handler: Handler


@dataclass(frozen=True, slots=True, eq=False)
class HttpRoute:
    """An HTTP function ready to be called."""

    spec: FunctionSpec
    endpoint: HttpEndpoint
    function: PreparedFunction[Any, Any]
    """Takes an `IncomingRequest` and gives an `OutgoingResponse`, or both are the extension's."""
    is_streamed: bool = False


def allow_everyone(request: web.BaseRequest, function: FunctionSpec, level: AuthLevel) -> bool:
    """The authorizer of development: no keys are needed."""
    return True


class HttpFrontEnd:
    """Serves the HTTP functions of the host.

    Args:
        functions: All functions; those without an HTTP trigger are left out.
        invoker: Calls them.
        route_prefix: host.json's `extensions.http.routePrefix`.
        mounts: Other parts of the host, tried before the functions.
        authorizer: Decides on keys, after a route has matched.
        disabled: Names of functions that only an admin can call; others find nothing there.
        wrappers: Put around the whole, the last one outermost.
        decorators: Called with every response that is about to be sent.
        development: Error answers say what went wrong; elsewhere they are empty.
        home_page: Whether `/` shows a page when no function answers there; else it is empty.
        body_limit: Bytes of a request body at most.
        linger_s: How long `stop` waits for a last request on open connections, those included that
            nobody has accepted yet; 0 leaves these to whoever listens on.

    Raises:
        ConfigError: The route prefix cannot be understood.
    """

    def __init__(
        self,
        functions: Iterable[FunctionSpec],
        invoker: Invoker,
        *,
        route_prefix: str = "api",
        mounts: Iterable[Mount] = (),
        authorizer: Authorizer = allow_everyone,
        disabled: Collection[str] = (),
        wrappers: Iterable[Wrapper] = (),
        decorators: Sequence[Decorator] = (),
        development: bool = True,
        home_page: bool = True,
        body_limit: int = DEFAULT_BODY_LIMIT,
        linger_s: float = 0.0,
    ) -> None:
        self._invoker = invoker
        self._mounts = [(mount.prefix.rstrip("/").lower(), mount.handler) for mount in mounts]
        self._authorizer = authorizer
        self._disabled = frozenset(name.lower() for name in disabled)
        self._decorators = decorators
        self._handler: Handler = self.handle
        for wrapper in wrappers:
            self._handler = wrapper(self._handler)
        self._development = development
        self._home_page = home_page
        self._body_limit = body_limit
        self._linger_s = linger_s
        functions = list(functions)
        self._unprepared = [f.lifespan for f in functions if f.lifespan is not None]
        self._prepared: list[Lifespan] = []
        self._routes, is_streamed = _route_table(functions, invoker, route_prefix)
        self._streaming = (
            StreamingApp(body_limit, self._last_of_connection) if is_streamed else None
        )
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._stopping = False

    async def prepare(self) -> None:
        """Run the start-up code of ASGI apps, unless that is done. What it raises is the app's."""
        while self._unprepared:
            lifespan = self._unprepared.pop(0)
            await lifespan.start()
            self._prepared.append(lifespan)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket; it is listened on and closed by `stop`."""
        await self.prepare()
        self._server = Server(
            self._answer,
            request_factory=self._make_request,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=75.0,
        )
        loop = asyncio.get_running_loop()
        self._socket = sock
        self._listener = await loop.create_server(self._server, sock=sock, backlog=1024)

    @property
    def connection_count(self) -> int:
        """Open connections, those included that wait for a client's next request."""
        return len(self._server.connections) if self._server is not None else 0

    async def hand_over(self) -> None:
        """Accept nothing more, because another process does.

        Each open connection gets one more answer, with `Connection: close`: a client that keeps it
        alive may be sending at this moment.
        """
        await self._stop_listening(is_last=False)

    async def _stop_listening(self, *, is_last: bool) -> None:
        """`is_last`: nobody accepts on the socket after us, so take who waits there already."""
        self._stopping = True
        listener, self._listener = self._listener, None
        if listener is None or self._server is None or self._socket is None:
            return
        await stop_accepting(self._socket)
        if is_last:
            await accept_waiting(self._socket, self._server)
        # At once: whoever comes between the last look and this is reset.
        listener.close()

    async def stop(self, grace: float) -> None:
        """Stop accepting, let running requests finish for `grace` seconds, then close.

        Requests still running then are cancelled; their clients see the connection closed.
        """
        await self._stop_listening(is_last=self._linger_s > 0)
        if self._server is not None:
            await wait_for_connections(self._server, min(self._linger_s, grace))
            self._server.pre_shutdown()
            # aiohttp waits its timeout twice before it cancels, and for ever when it is zero.
            await self._server.shutdown(max(grace / 2, 0.001))
            self._server = None
        while self._prepared:
            try:
                await self._prepared.pop(0).stop()
            except Exception:  # The edge to user code; what it does at the end is its own.
                logger.exception("The app's own shutdown failed.")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The entry point of the server."""
        return self._last_of_connection(await self._handler(request))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, inside of the wrappers."""
        raw_path = request.rel_url.raw_path
        if self._mounts:
            lowered = raw_path.lower()
            for prefix, handler in self._mounts:
                if lowered.startswith(prefix) and lowered[len(prefix) :][:1] in ("", "/"):
                    return await handler(request)
        found = self._routes.find(request.method, raw_path)
        if found is None:
            if raw_path not in ("/", ""):
                return _empty(404)
            if not self._home_page:
                return _empty(204)
            return web.Response(text=_HOME_PAGE, content_type="text/html")
        route, values = found
        if self._disabled and route.spec.name.lower() in self._disabled:
            if not self._authorizer(request, route.spec, "admin"):
                return _empty(404)
        elif not self._authorizer(request, route.spec, route.endpoint.auth_level):
            return _empty(401)
        if self._streaming is not None and route.is_streamed:
            return await self._stream(self._streaming, route, request, values)
        body = b""
        if request.body_exists:
            try:
                body = await self._body(request)
            except web.HTTPRequestEntityTooLarge:
                return _empty(413)
            except (ConnectionError, web.RequestPayloadError):
                return _empty(400)  # The client went away or its body is malformed.
        return await self._call(route, request, values, body)

    def _last_of_connection(self, response: web.StreamResponse) -> web.StreamResponse:
        """While stopping, a kept-alive connection ends with the answer it is waiting for."""
        if self._stopping:
            response.force_close()
        return response

    async def _call(
        self, route: HttpRoute, request: web.BaseRequest, values: Mapping[str, str], body: bytes
    ) -> web.StreamResponse:
        headers = request.headers
        target = request.raw_path
        incoming = IncomingRequest(
            method=request.method,
            # Not `request.host`: without the header it asks the name service for ours.
            url=f"{request.scheme}://{headers.get(hdrs.HOST, 'localhost')}{target}",
            headers=headers.items(),
            query=request.query.items() if "?" in target else (),
            route_params=values,
            body=body,
        )
        outcome = await self._invoker.call(
            route.function,
            incoming,
            reason=REASON,
            trace_parent=headers.get(_TRACE_PARENT, ""),
            trace_state=headers.get(_TRACE_STATE, ""),
        )
        if isinstance(outcome, Failure):
            return self._failed(route, outcome)
        response = web.Response(body=outcome.body, status=outcome.status, headers=outcome.headers)
        response.headers.setdefault(hdrs.SERVER, _SERVER)
        return response

    async def _stream(
        self,
        streaming: StreamingApp,
        route: HttpRoute,
        request: web.BaseRequest,
        values: Mapping[str, str],
    ) -> web.StreamResponse:
        if (request.content_length or 0) > self._body_limit:
            return _empty(413)
        headers = request.headers

        async def call(streamed: object) -> object:
            return await self._invoker.call(
                route.function,
                streamed,
                reason=REASON,
                trace_parent=headers.get(_TRACE_PARENT, ""),
                trace_state=headers.get(_TRACE_STATE, ""),
            )

        answer = await streaming.respond(request, values, call)
        if not isinstance(answer, Failure):
            return answer
        if isinstance(answer.error, web.HTTPRequestEntityTooLarge):
            return _empty(413)
        return self._failed(route, answer)

    def _failed(self, route: HttpRoute, failure: Failure) -> web.StreamResponse:
        if not self._development:
            return _empty(500)
        error = failure.error
        text = (
            f"Function '{route.spec.name}' failed: {type(error).__name__}: {error}\n"
            f"Invocation {failure.invocation_id}; the traceback is in the log.\n"
        )
        return web.Response(status=500, text=text, headers={"Server": _SERVER})

    async def _body(self, request: web.BaseRequest) -> bytes:
        length = request.content_length
        if length is not None and length > self._body_limit:
            raise web.HTTPRequestEntityTooLarge(self._body_limit, length)
        if request.headers.get("Expect", "").lower() == "100-continue":
            # The low-level server leaves this to its handler; some clients wait a second for it.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return await request.read()

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        # Not the running loop: asking for that is a system call (before Python 3.12).
        loop = task.get_loop()
        limit = self._body_limit
        if not self._decorators:
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=limit
            )
        request = _DecoratedRequest(
            message, payload, protocol, writer, task, loop, client_max_size=limit
        )
        request.decorators = self._decorators
        return request


class _DecoratedRequest(web.BaseRequest):
    """A request whose responses are decorated when their headers are sent, and not before.

    `_prepare_hook` is how aiohttp's own applications do it; the low-level server has no other
    place that sees a streamed response in time.
    """

    decorators: Sequence[Decorator] = ()

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        for decorate in self.decorators:
            decorate(self, response)


def _route_table(
    functions: Iterable[FunctionSpec], invoker: Invoker, prefix: str
) -> tuple[RouteTable[HttpRoute], bool]:
    """The routes of all HTTP functions, and whether one of them takes its request as a stream."""
    routes = []
    for spec in sorted(functions, key=lambda f: f.name.lower()):
        endpoint = endpoint_of(spec)
        if endpoint is None:
            continue
        try:
            template = RouteTemplate(f"{prefix}/{endpoint.route}")
        except ValueError as exc:
            # Discovery has checked the route itself.
            raise ConfigError("host.json", "extensions.http.routePrefix", f"{exc}") from exc
        streamed = takes_stream(spec)
        prepared: PreparedFunction[Any, Any] = (
            invoker.prepare(
                spec, lambda request: request, lambda value, outputs: value, stream_data
            )
            if streamed
            else invoker.prepare(spec, http_request, HttpResult(spec).response, http_data)
        )
        routes.append((template, endpoint.methods, HttpRoute(spec, endpoint, prepared, streamed)))
    return RouteTable(routes), any(route.is_streamed for _, _, route in routes)


def _empty(status: int) -> web.Response:
    return web.Response(status=status, headers={"Server": _SERVER})


_HOME_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>func-py</title></head>
<body style="font-family: system-ui, sans-serif; margin: 4rem auto; max-width: 40rem">
<h1>Your function app is up and running</h1>
<p>Its HTTP functions and their URLs are listed where func-py was started.</p>
</body>
</html>
"""

"""The durable management API, free of transport: a request value in, a response value out.

The public webhook (`management.http`), the loopback RPC endpoint and the client that user functions
get in process all end here, so they answer with the same status codes and bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from func_py.durable.client import DurableClient
from func_py.durable.model import InstanceState, RuntimeStatus, TraceContext
from func_py.durable.storage.base import InstanceQuery
from func_py.errors import (
    DurableError,
    InstanceAlreadyExists,
    InstanceNotFinished,
    StorageUnavailable,
    UserError,
)
from func_py.management.projection import JsonObject, history_entries, shown, status_object

BASE_PATH = "/runtime/webhooks/durabletask"
CONTINUATION_HEADER = "x-ms-continuation-token"


class NoBody:
    """Stands for an empty response body, which is not the JSON value null."""


NO_BODY = NoBody()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One call. `path` is what follows the base, decoded. Query names are lower case, each with
    all its values. `origin` is `scheme://authority` of the caller's view, for links; `url` its
    whole request URL."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    origin: str = ""
    url: str = ""
    continuation: str = ""
    trace: TraceContext | None = None

    def value(self, name: str) -> str | None:
        """The first value of a query parameter, or None; blank counts as absent."""
        values = self.query.get(name)
        return values[0] if values and values[0].strip() else None

    def flag(self, name: str, default: bool) -> bool:
        """A boolean parameter; what is neither `true` nor `false` counts as absent."""
        text = (self.value(name) or "").lower()
        return default if text not in ("true", "false") else text == "true"

    def number(self, name: str) -> float | None:
        """A number; what does not parse counts as absent."""
        try:
            return float(self.value(name) or "")
        except ValueError:
            return None

    def items(self, name: str) -> list[str]:
        """A list parameter: repeated, comma separated, or both."""
        return [
            item.strip()
            for value in self.query.get(name, ())
            for item in value.split(",")
            if item.strip()
        ]

    def time(self, name: str) -> datetime | None:
        """A point in time, ISO 8601; without offset it is UTC. Unparsable counts as absent."""
        text = self.value(name)
        if text is None:
            return None
        try:
            parsed = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            return None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer. `body` is a JSON value, or NO_BODY."""

    status: int
    body: Any = NO_BODY
    headers: Mapping[str, str] = field(default_factory=dict)


_NOT_FOUND = ApiResponse(404)
_GONE = ApiResponse(410)
_ACCEPTED = ApiResponse(202)

_Handler = Callable[["DurableApi", ApiRequest, list[str]], Awaitable[ApiResponse]]


class DurableApi:
    """Answers management calls for one task hub."""

    def __init__(self, client: DurableClient, hub_name: str, *, code: str = "") -> None:
        """`code` is the system key that links carry; empty in development without keys."""
        self._client = client
        self._hub_name = hub_name
        self._code = code

    async def handle(self, request: ApiRequest) -> ApiResponse:
        """Route and answer one call; never raises for what the caller or the store did wrong."""
        parts = [part for part in request.path.strip("/").split("/") if part]
        handler = _route(request.method, parts)
        if handler is None:
            return _NOT_FOUND
        hub = request.value("taskhub")
        if hub is not None and hub.lower() != self._hub_name.lower():
            return _bad_request(
                f"This host serves the task hub '{self._hub_name}', not '{hub}'. "
                "Leave taskHub out, or call the host that has that hub."
            )
        try:
            return await handler(self, request, parts)
        except InstanceAlreadyExists as error:
            return _failed(error, "Something went wrong while processing your request")
        except (DurableError, UserError) as error:
            return _bad_request("One or more of the arguments submitted is incorrect", error=error)
        except StorageUnavailable as error:
            return ApiResponse(
                503,
                {
                    "Message": "The task hub does not answer. Try again.",
                    "ExceptionMessage": str(error),
                },
                {"Retry-After": "5"},
            )

    # ---- links -----------------------------------------------------------------------------

    def links(self, instance_id: str, origin: str) -> JsonObject:
        """The management URLs of an instance, in the order of the official payload."""
        base = f"{origin}{BASE_PATH}/instances/{quote(instance_id, safe='')}"
        query = f"taskHub={quote(self._hub_name, safe='')}&connection=Storage&code={self._code}"
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{base}?{query}",
            "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{base}/terminate?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": f"{base}?{query}",
            "restartPostUri": f"{base}/restart?{query}",
            "suspendPostUri": f"{base}/suspend?reason={{text}}&{query}",
            "resumePostUri": f"{base}/resume?reason={{text}}&{query}",
        }

    def _check_status(self, instance_id: str, request: ApiRequest) -> ApiResponse:
        links = self.links(instance_id, request.origin)
        if request.flag("returninternalservererroronfailure", False):
            links["statusQueryGetUri"] += "&returnInternalServerErrorOnFailure=true"
        headers = {"Location": links["statusQueryGetUri"], "Retry-After": "10"}
        return ApiResponse(202, links, headers)

    # ---- operations ------------------------------------------------------------------------

    async def start(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST orchestrators/{name}[/{id}]`."""
        text = _json_text(request.body)
        if text is None and request.body.strip():
            return _bad_request("Invalid JSON content")
        instance_id = await self._client.start(
            parts[1],
            instance_id=parts[2] if len(parts) > 2 else None,
            input=text,
            version=request.value("version"),
            trace=request.trace,
        )
        timeout = request.number("timeout")
        interval = request.number("pollinginterval")
        if timeout is None or interval is None:
            return self._check_status(instance_id, request)
        if interval > timeout:
            return _bad_request(
                f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}"
            )
        return await self._wait(instance_id, request, timeout, interval)

    async def _wait(
        self, instance_id: str, request: ApiRequest, patience: float, interval: float
    ) -> ApiResponse:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            state = await self._client.get(instance_id)
            if state is not None and state.status is RuntimeStatus.COMPLETED:
                return ApiResponse(200, shown(state.output))
            if state is not None and state.status.is_terminal:
                return await self._answer(state, request)
            left = deadline - loop.time()
            if left <= 0:
                return self._check_status(instance_id, request)
            await asyncio.sleep(min(max(interval, 0.01), left))

    async def status(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`GET instances/{id}`."""
        state = await self._client.get(parts[1])
        return _NOT_FOUND if state is None else await self._answer(state, request)

    async def _answer(self, state: InstanceState, request: ApiRequest) -> ApiResponse:
        show_input = request.flag("showinput", True)
        body = status_object(state, show_input=show_input)
        if request.flag("showhistory", False) and state.status is not RuntimeStatus.PENDING:
            entries = history_entries(
                await self._client.history(state.instance_id),
                show_input=show_input,
                show_output=request.flag("showhistoryoutput", False),
            )
            # The SDK reads `history`, the official extension sends `historyEvents`.
            body["historyEvents"] = entries
            body["history"] = entries
        if not state.status.is_terminal:
            return ApiResponse(202, body, {"Location": request.url, "Retry-After": "5"})
        failed = state.status is RuntimeStatus.FAILED
        error = failed and request.flag("returninternalservererroronfailure", False)
        return ApiResponse(500 if error else 200, body)

    async def query(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`GET instances`: one page with `top` or a continuation token, else everything."""
        names = set(request.items("runtimestatus"))
        top = request.number("top")
        show_input = request.flag("showinput", True)
        found: list[JsonObject] = []
        continuation = request.continuation
        while True:
            page = await self._client.query(
                InstanceQuery(
                    created_from=request.time("createdtimefrom"),
                    created_to=request.time("createdtimeto"),
                    statuses=frozenset(s for s in RuntimeStatus if s.value in names),
                    prefix=request.value("instanceidprefix") or "",
                    page_size=int(top) if top is not None and top >= 1 else 100,
                    continuation=continuation,
                )
            )
            found += [status_object(state, show_input=show_input) for state in page.items]
            continuation = page.continuation
            # The SDK never follows a token: without paging parameters it gets everything.
            if not continuation or top is not None or request.continuation:
                return ApiResponse(200, found, {CONTINUATION_HEADER: continuation})

    async def raise_event(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/raiseEvent/{eventName}`."""
        state = await self._client.get(parts[1])
        if state is None:
            return _NOT_FOUND
        if state.status.is_terminal:
            return _GONE
        if request.content_type.split(";")[0].strip().lower() != "application/json":
            return ApiResponse(
                400, {"Message": "Only application/json request content is supported"}
            )
        text = _json_text(request.body)
        if text is None:
            return _bad_request("Invalid JSON content")
        await self._client.raise_event(parts[1], "/".join(parts[3:]), text)
        return _ACCEPTED

    async def terminate(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/terminate?reason=`."""
        return await self._command(parts[1], self._client.terminate, request)

    async def suspend(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/suspend?reason=`; suspending twice is no error."""
        return await self._command(parts[1], self._client.suspend, request)

    async def resume(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/resume?reason=`; resuming what runs is no error."""
        return await self._command(parts[1], self._client.resume, request)

    async def _command(
        self,
        instance_id: str,
        send: Callable[[str, str | None], Awaitable[None]],
        request: ApiRequest,
    ) -> ApiResponse:
        state = await self._client.get(instance_id)
        if state is None:
            return _NOT_FOUND
        if state.status.is_terminal:
            return _GONE
        await send(instance_id, request.value("reason"))
        return _ACCEPTED

    async def purge(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`DELETE instances/{id}`; an unfinished instance is left alone."""
        try:
            found = await self._client.purge(parts[1])
        except InstanceNotFinished:
            return ApiResponse(200, {"instancesDeleted": 0})
        return ApiResponse(200, {"instancesDeleted": 1}) if found else _NOT_FOUND

    async def unsupported(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """An operation of the official API that this version does not have."""
        return ApiResponse(
            501,
            {
                "Message": f"{request.method} {request.path} is not supported by this version of "
                "func-py yet."
            },
        )


_OPERATIONS: dict[str, _Handler] = {
    "terminate": DurableApi.terminate,
    "suspend": DurableApi.suspend,
    "resume": DurableApi.resume,
    "rewind": DurableApi.unsupported,
    "restart": DurableApi.unsupported,
}


def _route(method: str, parts: list[str]) -> _Handler | None:
    """The handler of a path; None is 404, also for a known path with another verb."""
    kind = parts[0].lower() if parts else ""
    count = len(parts)
    if kind == "orchestrators" and count in (2, 3):
        return DurableApi.start if method == "POST" else None
    if kind == "entities" and count <= 3:
        return DurableApi.unsupported
    if kind != "instances":
        return None
    if count == 1:
        return {"GET": DurableApi.query, "DELETE": DurableApi.unsupported}.get(method)
    if count == 2:
        return {"GET": DurableApi.status, "DELETE": DurableApi.purge}.get(method)
    if method != "POST":
        return None
    if count == 3:
        return _OPERATIONS.get(parts[2].lower())
    return DurableApi.raise_event if parts[2].lower() == "raiseevent" else None


def _json_text(body: bytes) -> str | None:
    """The body as stored text when it is one JSON value; None when it is empty or is not."""
    if not body.strip():
        return None
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        msgspec.json.decode(body)
        return body.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _bad_request(message: str, *, error: Exception | None = None) -> ApiResponse:
    body: JsonObject = {"Message": message, "ExceptionMessage": str(error or message)}
    if error is not None:
        body["ExceptionType"] = type(error).__name__
    return ApiResponse(400, body)


def _failed(error: Exception, message: str) -> ApiResponse:
    return ApiResponse(
        500,
        {
            "Message": message,
            "ExceptionMessage": str(error),
            "ExceptionType": type(error).__name__,
        },
    )

"""The durable management API, free of transport: a request value in, a response value out.

The public webhook (`management.http`), the loopback RPC endpoint and the client that user functions
get in process all end here, so they answer with the same status codes and bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from func_py.durable.client import DurableClient
from func_py.durable.model import InstanceState, RuntimeStatus
from func_py.durable.storage.base import InstanceQuery
from func_py.errors import (
    DurableError,
    InstanceAlreadyExists,
    InstanceNotFailed,
    InstanceNotFinished,
    InstanceNotFound,
    StorageUnavailable,
    UserError,
)
from func_py.management.calls import (
    ACCEPTED,
    CONTINUATION_HEADER,
    NOT_FOUND,
    ApiRequest,
    ApiResponse,
    bad_request,
    is_json,
    json_text,
    page_size,
)
from func_py.management.entities import EntityApi
from func_py.management.projection import (
    JsonObject,
    shown,
    shown_history,
    status_object,
)
from func_py.management.why import Explainer

BASE_PATH = "/runtime/webhooks/durabletask"
_GONE = ApiResponse(410)

_Handler = Callable[["DurableApi", ApiRequest, list[str]], Awaitable[ApiResponse]]


class DurableApi:
    """Answers management calls for one task hub."""

    def __init__(
        self, client: DurableClient, explainer: Explainer, hub_name: str, *, code: str = ""
    ) -> None:
        """`code` is the system key that links carry; empty in development without keys."""
        self._client = client
        self._explainer = explainer
        self._entities = EntityApi(client)
        self._hub_name = hub_name
        self._code = code

    async def handle(self, request: ApiRequest) -> ApiResponse:
        """Route and answer one call; never raises for what the caller or the store did wrong."""
        parts = [part for part in request.path.strip("/").split("/") if part]
        handler = _route(request.method, parts)
        if handler is None:
            return NOT_FOUND
        hub = request.value("taskhub")
        if hub is not None and hub.lower() != self._hub_name.lower():
            return bad_request(
                f"This host serves the task hub '{self._hub_name}', not '{hub}'. "
                "Leave taskHub out, or call the host that has that hub."
            )
        try:
            return await handler(self, request, parts)
        except InstanceAlreadyExists as error:
            return _failed(error, "Something went wrong while processing your request")
        except (DurableError, UserError) as error:
            return bad_request("One or more of the arguments submitted is incorrect", error=error)
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
        hub, code = quote(self._hub_name, safe=""), quote(self._code, safe="")
        query = f"taskHub={hub}&connection=Storage&code={code}"
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
        text = json_text(request.body)
        if text is None and request.body.strip():
            return bad_request("Invalid JSON content")
        instance_id = await self._client.start(
            parts[1],
            instance_id=parts[2] if len(parts) > 2 else None,
            input=text,
            version=request.value("version"),
            trace=request.trace,
        )
        return await self._started(instance_id, request)

    async def _started(self, instance_id: str, request: ApiRequest) -> ApiResponse:
        """The answer to a start: at once, or when it has ended, as the request asks."""
        timeout = request.number("timeout")
        interval = request.number("pollinginterval")
        if timeout is None or interval is None:
            return self._check_status(instance_id, request)
        if interval > timeout:
            return bad_request(
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
        if state is None or _is_gone(state):
            return NOT_FOUND
        return await self._answer(state, request)

    async def _answer(self, state: InstanceState, request: ApiRequest) -> ApiResponse:
        show_input = request.flag("showinput", True)
        body = status_object(state, show_input=show_input)
        if request.flag("showhistory", False) and state.status is not RuntimeStatus.PENDING:
            entries = await shown_history(
                self._client,
                state.instance_id,
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

    async def why(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`GET instances/{id}/why`: of our own, see `Explainer`."""
        explanation = await self._explainer.explain(parts[1])
        return NOT_FOUND if explanation is None else ApiResponse(200, explanation.as_json())

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
                    page_size=page_size(top),
                    continuation=continuation,
                    inputs=show_input,
                )
            )
            found += [
                status_object(state, show_input=show_input)
                for state in page.items
                if not _is_gone(state)
            ]
            continuation = page.continuation
            # The SDK never follows a token: without paging parameters it gets everything.
            if not continuation or top is not None or request.continuation:
                return ApiResponse(200, found, {CONTINUATION_HEADER: continuation})

    async def raise_event(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/raiseEvent/{eventName}`."""
        state = await self._client.get(parts[1])
        if state is None:
            return NOT_FOUND
        if state.entity is not None:
            return bad_request("An entity takes no events. Signal an operation to it.")
        if state.status.is_terminal:
            return _GONE
        if not is_json(request.content_type):
            return ApiResponse(
                400, {"Message": "Only application/json request content is supported"}
            )
        text = json_text(request.body)
        if text is None:
            return bad_request("Invalid JSON content")
        await self._client.raise_event(parts[1], "/".join(parts[3:]), text)
        return ACCEPTED

    async def terminate(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/terminate?reason=`; `recursive=true` ends its children too."""
        recursive = request.flag("recursive", False)

        async def send(instance_id: str, reason: str | None) -> None:
            await self._client.terminate(instance_id, reason, recursive=recursive)

        return await self._command(parts[1], send, request)

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
            return NOT_FOUND
        if state.entity is not None:
            return bad_request("An entity has no life cycle. Signal an operation to it.")
        if state.status.is_terminal:
            return _GONE
        await send(instance_id, request.value("reason"))
        return ACCEPTED

    async def rewind(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/rewind?reason=`."""
        state = await self._client.get(parts[1])
        if state is None:
            return NOT_FOUND
        if state.status is RuntimeStatus.FAILED:
            await self._client.rewind(parts[1], request.value("reason"))
            return ACCEPTED
        if state.status.is_terminal:
            return _GONE
        error = InstanceNotFailed(parts[1], state.status.value)
        return _failed(error, "Something went wrong while processing your request")

    async def restart(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST instances/{id}/restart?restartWithNewInstanceId=`."""
        try:
            instance_id = await self._client.restart(
                parts[1], new_instance_id=request.flag("restartwithnewinstanceid", True)
            )
        except InstanceNotFound as error:
            return bad_request(
                "InstanceId does not match a valid orchestration instance.", error=error
            )
        return await self._started(instance_id, request)

    async def purge_all(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`DELETE instances?createdTimeFrom=&createdTimeTo=&runtimeStatus=`."""
        created_from = request.time("createdtimefrom")
        if created_from is None:
            return ApiResponse(400, "Please provide value for 'createdTimeFrom' parameter.")
        names = set(request.items("runtimestatus"))
        count = await self._client.purge_all(
            created_from,
            request.time("createdtimeto"),
            [status for status in RuntimeStatus if status.value in names],
        )
        return ApiResponse(200, {"instancesDeleted": count}) if count else NOT_FOUND

    async def purge(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`DELETE instances/{id}`; an unfinished instance is left alone.

        `recursive=true` deletes its finished children as well.
        """
        if request.flag("recursive", False):
            if await self._client.get(parts[1]) is None:
                return NOT_FOUND
            count = await self._client.purge_with_children(parts[1])
            return ApiResponse(200, {"instancesDeleted": count})
        try:
            found = await self._client.purge(parts[1])
        except InstanceNotFinished:
            return ApiResponse(200, {"instancesDeleted": 0})
        return ApiResponse(200, {"instancesDeleted": 1}) if found else NOT_FOUND

    async def entities(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """Everything below `entities`."""
        return await self._entities.handle(request, parts)

    async def make_primary(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`makeprimary`: there is one hub and no app lease, so this app is primary already."""
        return ApiResponse(200)


_OPERATIONS: dict[str, _Handler] = {
    "terminate": DurableApi.terminate,
    "suspend": DurableApi.suspend,
    "resume": DurableApi.resume,
    "rewind": DurableApi.rewind,
    "restart": DurableApi.restart,
}


def _route(method: str, parts: list[str]) -> _Handler | None:
    """The handler of a path; None is 404, also for a known path with another verb."""
    kind = parts[0].lower() if parts else ""
    count = len(parts)
    if kind == "orchestrators" and count in (2, 3):
        return DurableApi.start if method == "POST" else None
    if kind in ("entities", "entities:clean"):
        return DurableApi.entities
    if kind == "makeprimary" and count == 1:
        return DurableApi.make_primary
    if kind != "instances":
        return None
    if count == 1:
        return {"GET": DurableApi.query, "DELETE": DurableApi.purge_all}.get(method)
    if count == 2:
        return {"GET": DurableApi.status, "DELETE": DurableApi.purge}.get(method)
    if method == "GET" and count == 3 and parts[2].lower() == "why":
        return DurableApi.why
    if method != "POST":
        return None
    if count == 3:
        return _OPERATIONS.get(parts[2].lower())
    return DurableApi.raise_event if parts[2].lower() == "raiseevent" else None


def _is_gone(state: InstanceState) -> bool:
    """Whether it is the record of an entity that does not exist any more."""
    return state.entity is not None and not state.entity.exists


def _failed(error: Exception, message: str) -> ApiResponse:
    return ApiResponse(
        500,
        {
            "Message": message,
            "ExceptionMessage": str(error),
            "ExceptionType": type(error).__name__,
        },
    )

"""The entity part of the management API: read, list, signal, delete, clean."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from func_py.durable.client import DurableClient, EntityQuery
from func_py.errors import FunctionNotRegistered, InvalidInstanceId
from func_py.management.calls import (
    ACCEPTED,
    CONTINUATION_HEADER,
    NOT_FOUND,
    ApiRequest,
    ApiResponse,
    is_json,
    json_text,
    page_size,
)
from func_py.management.projection import JsonObject, entity_object, shown


class EntityApi:
    """Answers the calls below `entities` for one task hub."""

    def __init__(self, client: DurableClient) -> None:
        self._client = client

    async def handle(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """Answer one call; `parts` are the segments of its path. Raises what the client raises."""
        handler = _HANDLERS.get((request.method, parts[0].lower(), len(parts)))
        return NOT_FOUND if handler is None else await handler(self, request, parts)

    async def _read(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`GET entities/{name}/{key}`: the state as it is."""
        entity = await self._client.read_entity(parts[1], _entity_key(parts))
        return NOT_FOUND if entity is None else ApiResponse(200, shown(entity.state))

    async def _query(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`GET entities[/{name}]`: one page with `top` or a continuation token, else everything."""
        top = request.number("top")
        with_state = request.flag("fetchstate", False)
        found: list[JsonObject] = []
        continuation = request.continuation
        while True:
            page = await self._client.query_entities(
                EntityQuery(
                    name=parts[1] if len(parts) > 1 else "",
                    updated_from=request.time("lastoperationtimefrom"),
                    updated_to=request.time("lastoperationtimeto"),
                    page_size=page_size(top),
                    continuation=continuation,
                )
            )
            found += [entity_object(state, with_state=with_state) for state in page.items]
            continuation = page.continuation
            if not continuation or top is not None or request.continuation:
                return ApiResponse(200, found, {CONTINUATION_HEADER: continuation})

    async def _post(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST entities/{name}/{key}?op=`: JSON, or any other text as a string; may be empty."""
        text = None
        if request.body and is_json(request.content_type):
            text = json_text(request.body)
            if text is None:
                shown_body = request.body.decode("utf-8", "replace")
                return ApiResponse(400, {"Message": f"Could not parse JSON content: {shown_body}"})
        elif request.body:
            # Twice, so that a text that looks like JSON stays a text.
            text = json.dumps(json.dumps(request.body.decode("utf-8", "replace")))
        return await self._signal(request, parts, request.value("op") or "", text)

    async def _delete(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`DELETE entities/{name}/{key}`: the signal `delete`; what it does is the entity's."""
        return await self._signal(request, parts, "delete", None)

    async def _signal(
        self, request: ApiRequest, parts: list[str], operation: str, text: str | None
    ) -> ApiResponse:
        name, key = parts[1], _entity_key(parts)
        try:
            await self._client.signal_entity(name, key, operation, text, trace=request.trace)
        except (FunctionNotRegistered, InvalidInstanceId) as error:
            return ApiResponse(400, {"Message": str(error)})
        return ACCEPTED

    async def _clean(self, request: ApiRequest, parts: list[str]) -> ApiResponse:
        """`POST entities:clean`: forget the entities that do not exist any more."""
        count = await self._client.clean_entities(request.value("name") or "")
        return ApiResponse(200, {"emptyEntitiesRemoved": count})


_Handler = Callable[[EntityApi, ApiRequest, list[str]], Awaitable[ApiResponse]]

_HANDLERS: dict[tuple[str, str, int], _Handler] = {
    ("GET", "entities", 1): EntityApi._query,
    ("GET", "entities", 2): EntityApi._query,
    ("GET", "entities", 3): EntityApi._read,
    ("POST", "entities", 3): EntityApi._post,
    ("DELETE", "entities", 3): EntityApi._delete,
    ("POST", "entities:clean", 1): EntityApi._clean,
}


def _entity_key(parts: list[str]) -> str:
    """The key of an entity's path; `$` stands for the empty one."""
    return "" if parts[2] == "$" else parts[2]

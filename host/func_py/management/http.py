"""The management API over HTTP: the public webhook."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from func_py.durable.model import TraceContext
from func_py.management.api import BASE_PATH, DurableApi
from func_py.management.calls import CONTINUATION_HEADER, NO_BODY, ApiRequest, ApiResponse

JSON_TYPE = "application/json; charset=utf-8"


class DurableWebhook:
    """An aiohttp handler for everything below a base path."""

    def __init__(self, api: DurableApi, base_path: str = BASE_PATH) -> None:
        self._api = api
        self._base_path = base_path

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        return to_http(await self._api.handle(await self._read(request)))

    async def _read(self, request: web.BaseRequest) -> ApiRequest:
        query: dict[str, Sequence[str]] = {}
        for name in request.query:
            query[name.lower()] = request.query.getall(name)
        origin = f"{request.scheme}://{request.host}"
        parent = request.headers.get("traceparent")
        return ApiRequest(
            method=request.method,
            path=request.path[len(self._base_path) :],
            query=query,
            body=await request.read(),
            content_type=request.headers.get("Content-Type", ""),
            origin=origin,
            url=origin + request.raw_path,
            continuation=request.headers.get(CONTINUATION_HEADER, ""),
            trace=TraceContext(
                trace_parent=parent, trace_state=request.headers.get("tracestate", "")
            )
            if parent
            else None,
        )


def to_http(response: ApiResponse) -> web.Response:
    """The aiohttp form of an answer."""
    if response.body is NO_BODY:
        return web.Response(status=response.status, headers=response.headers)
    headers = {"Content-Type": JSON_TYPE, **response.headers}
    return web.Response(
        status=response.status, headers=headers, body=msgspec.json.encode(response.body)
    )

"""The transport of the client that user functions get: the management API without a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from func_py.durable.model import TraceContext
from func_py.management.api import DurableApi
from func_py.management.calls import NO_BODY, ApiRequest


class LocalTransport:
    """Carries the SDK client's requests to the API in process; same status codes and bodies."""

    def __init__(self, api: DurableApi, rpc_base_url: str, origin: str) -> None:
        """`rpc_base_url` is the prefix of every URL that the client builds; ends with `/`."""
        self._api = api
        self._prefix = rpc_base_url
        self._origin = origin

    async def request(
        self,
        method: str,
        url: str,
        body: object | None,
        *,
        trace_parent: str | None = None,
        trace_state: str | None = None,
        invocation_id: str | None = None,
    ) -> tuple[int, object]:
        """Carry out one request of the SDK's client.

        Args:
            method: GET, POST or DELETE.
            url: What the client built from its `rpcBaseUrl`; ids are not URL-quoted in it.
            body: The value the client would send as JSON; None for no body.
            trace_parent: W3C trace context of the caller.
            trace_state: W3C trace state of the caller.
            invocation_id: The invocation that calls; for correlation.

        Returns:
            The status code and the decoded body, None for an empty one.
        """
        path, query = self._split(url)
        response = await self._api.handle(
            ApiRequest(
                method=method,
                path=path,
                query=query,
                body=b"" if body is None else json.dumps(body).encode(),
                content_type="application/json",
                origin=self._origin,
                url=url,
                trace=TraceContext(trace_parent=trace_parent, trace_state=trace_state or "")
                if trace_parent
                else None,
            )
        )
        return response.status, None if response.body is NO_BODY else response.body

    def _split(self, url: str) -> tuple[str, Mapping[str, Sequence[str]]]:
        rest = url.removeprefix(self._prefix)
        path, _, query = rest.partition("?")
        if not query:
            return unquote(path) if "%" in path else path, {}
        values = parse_qs(urlsplit("?" + query).query, keep_blank_values=True)
        return unquote(path), {name.lower(): items for name, items in values.items()}

"""Cross-origin requests: which web pages may call the host from a browser."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

from func_py.errors import UserError
from func_py.web.front_end import Handler

ANY_ORIGIN = "*"
_PREFLIGHT_METHOD = hdrs.ACCESS_CONTROL_REQUEST_METHOD
_PREFLIGHT_HEADERS = hdrs.ACCESS_CONTROL_REQUEST_HEADERS


class Cors:
    """Answers preflight requests, and marks every response that a listed page may read.

    Args:
        origins: `scheme://host[:port]` of the pages, or `*` for any.
        credentials: Whether they may send cookies and authorization.

    Raises:
        UserError: Credentials for any page; no browser accepts that.
    """

    def __init__(self, origins: Collection[str], *, credentials: bool = False) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._is_open = ANY_ORIGIN in self._origins
        self._credentials = credentials
        if credentials and self._is_open:
            raise UserError(
                "CORS credentials cannot be combined with the origin '*'. "
                "List the origins that may send them."
            )

    def around(self, handler: Handler) -> Handler:
        """A handler that answers preflight requests itself."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if (
                request.method == hdrs.METH_OPTIONS
                and hdrs.ORIGIN in request.headers
                and _PREFLIGHT_METHOD in request.headers
            ):
                return self._preflight(request)
            return await handler(request)

        return answer

    def decorate(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Put the headers of this policy on a response that is about to be sent."""
        headers = response.headers
        if not self._is_open:
            # Also on answers without the other headers: caches must not mix them up.
            vary = headers.get(hdrs.VARY)
            headers[hdrs.VARY] = f"{vary}, {hdrs.ORIGIN}" if vary else hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not self._allows(origin):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY_ORIGIN if self._is_open else origin
        if self._credentials:
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"

    def _allows(self, origin: str) -> bool:
        return self._is_open or origin.lower() in self._origins

    def _preflight(self, request: web.BaseRequest) -> web.Response:
        response = web.Response(status=204)
        if self._allows(request.headers[hdrs.ORIGIN]):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = request.headers[_PREFLIGHT_METHOD]
            wanted = request.headers.get(_PREFLIGHT_HEADERS)
            if wanted:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
        return response

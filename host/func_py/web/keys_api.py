"""Keys over HTTP: `/admin/functions/{name}/keys`, `/admin/host/{keys,functionkeys,systemkeys}`."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import hdrs, web

from func_py.errors import UserError
from func_py.keys import HOST, SYSTEM, KeyStore, Scope, of_function
from func_py.web.admin import PREFIX, json_response, origin_of

_HOST_SCOPES = {"keys": HOST, "functionkeys": HOST, "systemkeys": SYSTEM}


class KeysApi:
    """Lists, gives, makes, replaces and deletes keys. Whoever calls it has been let in before.

    Writing waits for the disk on the event loop: it happens by hand, a few times in a year.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request below a list of keys."""
        parts = [part for part in request.path[len(PREFIX) :].split("/") if part]
        try:
            if parts[0].lower() == "host":
                scope, name = _HOST_SCOPES[parts[1].lower()], parts[2:]
            else:
                scope, name = of_function(parts[1]), parts[3:]
            if not name:
                return self._list(request, scope)
            if len(name) > 1:
                return web.Response(status=404)
            return await self._one(request, scope, name[0])
        except UserError as exc:
            return json_response({"Message": str(exc)}, status=400)

    def _list(self, request: web.BaseRequest, scope: Scope) -> web.Response:
        if request.method != hdrs.METH_GET:
            return web.Response(status=404)
        keys = self._store.keys(scope)
        return json_response(
            {
                "keys": [{"name": name, "value": value} for name, value in keys.items()],
                "links": _links(request),
            }
        )

    async def _one(self, request: web.BaseRequest, scope: Scope, name: str) -> web.Response:
        match request.method:
            case hdrs.METH_GET:
                value = self._store.get(scope, name)
                if value is None:
                    return web.Response(status=404)
                return _key(request, name, value)
            case hdrs.METH_POST:
                value, created = self._store.put(scope, name)
                return _key(request, name, value, 201 if created else 200)
            case hdrs.METH_PUT:
                body = _decode(await request.read())
                if body is None or not body.value:
                    return json_response({"Message": "A key needs a value."}, status=400)
                if body.name and body.name.lower() != name.lower():
                    problem = f"The key is '{name}' in the URL and '{body.name}' in the body."
                    return json_response({"Message": problem}, status=400)
                value, created = self._store.put(scope, name, body.value)
                return _key(request, name, value, 201 if created else 200)
            case hdrs.METH_DELETE:
                return web.Response(status=204 if self._store.delete(scope, name) else 404)
            case _:
                return web.Response(status=404)


class _KeyBody(msgspec.Struct):
    name: str = ""
    value: str = ""


def _decode(body: bytes) -> _KeyBody | None:
    try:
        return msgspec.json.decode(body, type=_KeyBody)
    except msgspec.MsgspecError:
        return None


def _key(request: web.BaseRequest, name: str, value: str, status: int = 200) -> web.Response:
    return json_response({"name": name, "value": value, "links": _links(request)}, status)


def _links(request: web.BaseRequest) -> list[dict[str, Any]]:
    return [{"rel": "self", "href": f"{origin_of(request)}{request.rel_url.raw_path}"}]

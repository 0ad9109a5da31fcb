"""The admin API: what the host is doing, its functions, and calls of them.

Outside of development every path but the ping and the health of the host needs the master key.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import hdrs, web

from func_py.web.admin_calls import AdminCalls
from func_py.web.drain import Drain
from func_py.web.front_end import Handler
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.http import endpoint_of

PREFIX = "/admin"

_Answer = Callable[[web.BaseRequest, list[str]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What the host says about itself."""

    host_id: str
    version: str
    instance_id: str
    computer_name: str
    route_prefix: str
    disabled: frozenset[str] = frozenset()
    """Names of disabled functions, in lower case."""
    started_at: float = field(default_factory=time.monotonic)


class AdminApi:
    """Answers everything below `/admin`.

    Args:
        functions: All functions of the host, those that are disabled included.
        facts: About the host.
        calls: Runs functions by name.
        keys: Answers paths that end with keys, or with one of them.
        is_admin: Whether a request may use this API.
        drain: Stops the host's sources of work.
        restart: Asks for a new process in place of this one; returns at once.
    """

    def __init__(
        self,
        functions: Sequence[FunctionSpec],
        facts: HostFacts,
        calls: AdminCalls,
        keys: Handler,
        is_admin: Callable[[web.BaseRequest], bool],
        drain: Drain,
        restart: Callable[[], None],
    ) -> None:
        by_name = {spec.name.lower(): spec for spec in functions}
        self._functions = dict(sorted(by_name.items()))
        self._facts = facts
        self._calls = calls
        self._keys = keys
        self._is_admin = is_admin
        self._drain = drain
        self._restart = restart

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        parts = [part for part in request.path[len(PREFIX) :].split("/") if part]
        match [part.lower() for part in parts]:
            case ["host", "ping"]:
                return _ping(request)
            case ["health", "live"]:
                return json_response({"status": "Healthy"})
            case ["health", "ready"]:
                return self._readiness()
            case _:
                pass
        if not self._is_admin(request):
            return web.Response(status=401)
        answer = self._route(request.method, [part.lower() for part in parts])
        return await answer(request, parts) if answer else web.Response(status=404)

    def _route(self, method: str, parts: list[str]) -> _Answer | None:
        match method, parts:
            case "GET", ["host", "status"]:
                return self._status
            case "POST", ["host", "drain"]:
                return self._begin_drain
            case "GET", ["host", "drain", "status"]:
                return self._drain_status
            case "POST", ["host", "resume"]:
                return self._resume
            case "GET", ["functions"]:
                return self._list
            case _, ["host", "keys" | "functionkeys" | "systemkeys", *_]:
                return self._key
            case "GET", ["functions", _]:
                return self._show
            case "POST", ["functions", _]:
                return self._call
            case "GET", ["functions", _, "status"]:
                return self._function_status
            case _, ["functions", name, "keys", *_] if name in self._functions:
                return self._key
            case _:
                return None

    def _readiness(self) -> web.StreamResponse:
        """Whether to send requests here: not while the host is draining."""
        if self._drain.state == "Disabled":
            return json_response({"status": "Healthy"})
        return json_response({"status": "Unhealthy", "reason": "draining"}, status=503)

    async def _status(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        facts = self._facts
        return json_response(
            {
                "id": facts.host_id,
                "state": "Running",
                "version": facts.version,
                "versionDetails": f"func-py {facts.version}",
                "instanceId": facts.instance_id,
                "computerName": facts.computer_name,
                "processUptime": int((time.monotonic() - facts.started_at) * 1000),
                "functionAppContentEditingState": "Unknown",
            }
        )

    async def _begin_drain(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        self._drain.start()
        return web.Response(status=202)

    async def _drain_status(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        return json_response(
            {
                "state": self._drain.state,
                "outstandingInvocations": self._drain.outstanding,
                "outstandingRetries": 0,
            }
        )

    async def _resume(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        if self._drain.state != "Disabled":
            self._restart()
        return json_response({"state": "Running"})

    async def _list(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        return json_response(
            [self._description(spec, origin_of(request)) for spec in self._functions.values()]
        )

    async def _show(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        spec = self._functions.get(parts[1].lower())
        if spec is None:
            return web.Response(status=404)
        return json_response(self._description(spec, origin_of(request)))

    async def _function_status(
        self, request: web.BaseRequest, parts: list[str]
    ) -> web.StreamResponse:
        spec = self._functions.get(parts[1].lower())
        if spec is None:
            return web.Response(status=404)
        return json_response({"errors": [spec.problem]} if spec.problem else {})

    async def _call(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        try:
            body = msgspec.json.decode(await request.read(), type=_CallBody)
        except msgspec.MsgspecError:
            return web.Response(status=400)
        try:
            self._calls.start(parts[1], body.input)
        except KeyError:
            return web.Response(status=404)
        return web.Response(status=202)

    async def _key(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        return await self._keys(request)

    def _description(self, spec: FunctionSpec, origin: str) -> dict[str, Any]:
        root = f"{origin}{PREFIX}"
        files = f"{root}/vfs/{spec.name}"
        endpoint = endpoint_of(spec)
        template = None
        if endpoint is not None:
            steps = (self._facts.route_prefix.strip("/"), endpoint.route)
            template = "/".join([origin, *(step for step in steps if step)])
        return {
            "name": spec.name,
            "script_root_path_href": f"{files}/",
            "script_href": f"{root}/vfs/{spec.script_file.name}",
            "config_href": f"{files}/function.json",
            "test_data_href": None,
            "href": f"{root}/functions/{spec.name}",
            "invoke_url_template": template,
            "language": "python",
            "config": {
                "name": spec.name,
                "entryPoint": spec.python_name,
                "scriptFile": spec.script_file.name,
                "language": "python",
                "functionDirectory": str(spec.directory),
                "bindings": [
                    {
                        "direction": binding.direction,
                        "type": binding.type,
                        "name": binding.name,
                        **binding.properties,
                    }
                    for binding in spec.bindings
                ],
            },
            "files": None,
            "test_data": "",
            "isDisabled": spec.name.lower() in self._facts.disabled,
            "isDirect": False,
            "isProxy": False,
        }


class _CallBody(msgspec.Struct):
    input: str | None = None


def json_response(value: object, status: int = 200) -> web.Response:
    """A JSON answer of the admin API."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        headers={hdrs.CONTENT_TYPE: "application/json; charset=utf-8"},
    )


def origin_of(request: web.BaseRequest) -> str:
    """`scheme://authority` as the caller sees it."""
    return f"{request.scheme}://{request.headers.get(hdrs.HOST, 'localhost')}"


def _ping(request: web.BaseRequest) -> web.StreamResponse:
    """Anonymous: probes ask this, and platforms have no key."""
    if request.method not in (hdrs.METH_GET, hdrs.METH_POST, hdrs.METH_HEAD):
        return web.Response(status=404)
    return web.Response(headers={hdrs.CACHE_CONTROL: "no-store"})

"""Calls of functions by name, without their triggers: `POST /admin/functions/{name}`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from func_py.invocation import Invoker
from func_py.web.front_end import REASON
from func_py_bindings.activity import activity_data, decode_input, encode_result
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.http import HttpResult, IncomingRequest, http_data, http_request

Call = Callable[[str | None], Awaitable[object]]
"""Runs one function with the input of an admin; its failure is logged, not raised."""

CallMaker = Callable[[FunctionSpec], Call]
"""Prepares the calls of functions with one type of trigger."""


class ErrorLog(Protocol):
    """Where it is said that a function cannot be called this way."""

    def error(self, function: str, text: str) -> None: ...


class AdminCalls:
    """Runs functions in the background, because nobody waits for their results.

    Args:
        functions: All functions of the host.
        makers: By trigger type in lower case. A function of another type fails when it is called,
            as it does in the official host.
        log: Receives that failure.
    """

    def __init__(
        self, functions: Iterable[FunctionSpec], makers: Mapping[str, CallMaker], log: ErrorLog
    ) -> None:
        self._log = log
        self._calls: dict[str, Call] = {}
        for spec in functions:
            maker = makers.get(spec.trigger.type.lower(), self._refusal)
            self._calls[spec.name.lower()] = maker(spec)
        self._running: set[asyncio.Task[object]] = set()

    def start(self, function: str, text: str | None) -> None:
        """Begin a call; returns at once.

        Raises:
            KeyError: No function has this name, in any case.
        """
        call = self._calls[function.lower()]
        task = asyncio.ensure_future(_run(call, text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self, grace_s: float) -> None:
        """Let running calls finish for so many seconds, then cancel them."""
        running = set(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _refusal(self, spec: FunctionSpec) -> Call:
        async def refuse(text: str | None) -> None:
            self._log.error(
                spec.name,
                f"Function '{spec.name}' cannot be called by the admin API: a "
                f"'{spec.trigger.type}' gets its value from the host only.",
            )

        return refuse


def http_calls(invoker: Invoker) -> CallMaker:
    """Calls of HTTP functions: a POST whose body is the input; the response is dropped."""

    def make(spec: FunctionSpec) -> Call:
        prepared = invoker.prepare(spec, http_request, HttpResult(spec).response, http_data)

        async def call(text: str | None) -> object:
            request = IncomingRequest(
                method="POST",
                url=f"http://localhost/admin/functions/{spec.name}",
                headers=(),
                query=(),
                route_params={},
                body=(text or "").encode(),
            )
            return await invoker.call(prepared, request, reason=REASON)

        return call

    return make


def activity_calls(invoker: Invoker) -> CallMaker:
    """Calls of activities: the input is JSON, or else text."""

    def make(spec: FunctionSpec) -> Call:
        def decode(text: str | None) -> object:
            return decode_input(text, spec.name)

        def finish(returned: object, outputs: Mapping[str, object]) -> str:
            return encode_result(returned, spec.name)

        prepared = invoker.prepare(spec, decode, finish, activity_data(spec))

        async def call(text: str | None) -> object:
            return await invoker.call(prepared, _as_json(text), reason=REASON)

        return call

    return make


def _as_json(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text


async def _run(call: Call, text: str | None) -> object:
    return await call(text)

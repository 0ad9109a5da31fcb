"""Wires timer and warmup functions: what calls them, and who may call them by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from func_py.clock import Clock
from func_py.config.settings import RetrySettings
from func_py.invocation import InvocationLog, Invoker, PreparedFunction, RetryingInvoker
from func_py.invocation.results import no_result
from func_py.runtime.retries import with_retry
from func_py.timers.listener import Records, TimerListener, has_timer
from func_py.timers.zone import schedule_zone
from func_py.web import Mount
from func_py.web.admin_calls import Call, CallMaker
from func_py.web.front_end import REASON
from func_py_bindings import warmup
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.timer import TimerFiring, timer_argument

_WARMUP_PATH = "/admin/warmup"


@asynccontextmanager
async def timers_running(
    functions: Iterable[FunctionSpec],
    invoker: Invoker,
    log: InvocationLog,
    records: Records,
    clock: Clock,
    *,
    environ: Mapping[str, str],
    retry: RetrySettings | None,
    grace_s: float,
) -> AsyncIterator[Timers]:
    """Fire timer functions while entered; on the way out running ones get `grace_s` seconds.

    Yields:
        What stops them before that.

    Raises:
        ConfigError: The setting for the time zone names none.
    """
    timed = [with_retry(spec, retry) for spec in functions if has_timer(spec)]
    retrying = RetryingInvoker(invoker, log, clock)
    prepared = {spec: _prepared_timer(spec, invoker) for spec in timed}

    async def fire(spec: FunctionSpec, firing: TimerFiring, reason: str) -> object:
        return await retrying.call(prepared[spec], firing, reason=reason)

    listener = TimerListener(timed, fire, records, clock, schedule_zone(environ))

    timers = Timers(retrying, listener, grace_s)
    listener.start()
    try:
        yield timers
    finally:
        await timers.stop()


class Timers:
    """The running timers of a host."""

    def __init__(self, retrying: RetryingInvoker, listener: TimerListener, grace_s: float) -> None:
        self._retrying = retrying
        self._listener = listener
        self._grace_s = grace_s

    async def stop(self) -> None:
        """Fire no more and let running functions finish."""
        self._retrying.stop()
        await self._listener.stop(self._grace_s)

    async def hand_over(self) -> None:
        """Fire no more and free the timers for another process; returns while functions run."""
        self._retrying.stop()
        await self._listener.hand_over()

    async def cut(self) -> None:
        """End what still runs."""
        await self._listener.stop(0)


def timer_calls(invoker: Invoker) -> CallMaker:
    """Calls of timer functions by an admin: whatever the input, it is a firing right now."""

    def make(spec: FunctionSpec) -> Call:
        function = _prepared_timer(spec, invoker)

        async def call(text: str | None) -> object:
            return await invoker.call(function, TimerFiring(), reason=REASON)

        return call

    return make


class Warmup:
    """Calls the app's warmup functions once in this process, when it is asked to."""

    def __init__(self, functions: Iterable[FunctionSpec], invoker: Invoker) -> None:
        self._invoker = invoker
        self._waiting = [
            invoker.prepare(spec, warmup.warmup_argument(spec), no_result(spec))
            for spec in functions
            if spec.trigger.type.lower() == warmup.TYPE.lower()
        ]

    def mount(self) -> Mount:
        """Where it is asked to."""
        return Mount(_WARMUP_PATH, self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        waiting, self._waiting = self._waiting, []
        for function in waiting:
            await self._invoker.call(function, None, reason=REASON)
        return web.Response()


def _prepared_timer(spec: FunctionSpec, invoker: Invoker) -> PreparedFunction[TimerFiring, None]:
    return invoker.prepare(spec, timer_argument(spec), no_result(spec))

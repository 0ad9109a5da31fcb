"""Calls user functions: arguments, context, log lines, and the failure as a value.

Coroutine functions run on the loop, plain ones in a thread pool. What values mean on the wire is
the caller's business: it gives `decode` and `finish`, which run inside the invocation, so that an
input nobody can read or a result nobody can send is a logged failure of that function.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from func_py.errors import BindingError
from func_py.invocation.context import (
    IdSource,
    InvocationContext,
    InvocationRetry,
    OutValue,
    current_invocation,
)
from func_py.invocation.places import place_in_task, place_in_thread
from func_py.invocation.services import fetched, written
from func_py.invocation.threads import FunctionThreads
from func_py.invocation.time_limit import TimeLimit
from func_py.logs import user_traceback
from func_py_bindings.contract import (
    RETURN,
    BindingSpec,
    FunctionSpec,
    InputFetcher,
    InputSource,
    Invocation,
    OutputWriter,
    Send,
    is_coroutine_callable,
)
from func_py_bindings.durable_client import without_middleware

V = TypeVar("V")
T = TypeVar("T")
S = TypeVar("S")

Finish = Callable[[object, Mapping[str, object]], T]
"""Turns the returned value and the values of named outputs into the caller's result."""

BindingData = Callable[[V], Mapping[str, object]]
"""Gives, of what `decode` takes, the names that binding expressions may refer to."""

Around = Callable[[FunctionSpec, Callable[..., Any]], Callable[..., Any]]
"""Makes, of a function's code, code that does something before and after it; async where it is."""

_FINISHED = frozenset({"http"})
"""Types of outputs that the caller's `finish` takes care of."""

_NO_OUTPUTS: Mapping[str, object] = MappingProxyType({})


class InvocationLog(Protocol):
    """Where the host's lines about invocations go."""

    def info(self, function: str, text: str) -> None: ...

    def error(self, function: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """An invocation that failed: what user code raised, and the id it is logged under."""

    error: BaseException
    invocation_id: str


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFunction(Generic[V, T]):
    """A function with everything about calling it decided. Made by `Invoker.prepare`."""

    spec: FunctionSpec
    decode: Callable[[V], object]
    finish: Finish[T]
    call: Callable[..., Any]
    is_async: bool
    trigger_name: str
    takes_context: bool
    inputs: tuple[tuple[str, Callable[[Invocation], object]], ...]
    out_names: tuple[str, ...]
    fetchers: tuple[tuple[str, Callable[[Invocation], Awaitable[object]]], ...]
    writers: tuple[tuple[str, Callable[[Invocation, object], Send]], ...]
    data: BindingData[V] | None


class Invoker:
    """Makes invocations and knows which are running.

    Args:
        log: Receives the Executing and Executed lines.
        inputs: Sources of input bindings by lower-case type.
        thread_count: Threads for plain functions; None for the standard library's default.
        timeout: host.json's `functionTimeout`; None for no limit.
        around: Each wraps the code of a function when that is prepared: tracing, extensions.
    """

    def __init__(
        self,
        log: InvocationLog,
        *,
        inputs: Mapping[str, InputSource] | None = None,
        thread_count: int | None = None,
        timeout: timedelta | None = None,
        around: Sequence[Around] = (),
    ) -> None:
        self._log = log
        self._around = tuple(around)
        self._inputs = dict(inputs or {})
        self._fetchers: dict[str, InputFetcher] = {}
        self._writers: dict[str, OutputWriter] = {}
        self._threads = FunctionThreads(thread_count)
        self._ids = IdSource()
        self._thread_local = threading.local()
        self._running: dict[str, InvocationContext] = {}
        self._time_limit = TimeLimit(timeout, self._running, log.error)
        self._in_threads: dict[str, int] = {}
        """Invocation id → the thread that runs the code."""

    @property
    def running(self) -> int:
        """Invocations that have not ended."""
        return len(self._running)

    @property
    def thread_limit(self) -> int:
        """Threads for plain functions, when all are needed."""
        return self._threads.limit

    def places(self, is_wanted: Callable[[object], bool]) -> Iterator[tuple[object, str]]:
        """Where the code of invocations stands that run, each with its `cause`, see `call`.

        A place is `file:line in function: source`, or empty when no user code is there.

        Args:
            is_wanted: Asked of each cause.
        """
        for invocation_id, context in self._running.items():
            if not is_wanted(context.cause):
                continue
            if (thread_id := self._in_threads.get(invocation_id)) is not None:
                yield context.cause, place_in_thread(thread_id)
            elif context.task is not None:
                yield context.cause, place_in_task(context.task)

    def add_inputs(self, inputs: Mapping[str, InputSource]) -> None:
        """Add sources of input bindings, by lower-case type, before functions are prepared."""
        self._inputs.update(inputs)

    def add_services(
        self, fetchers: Mapping[str, InputFetcher], writers: Mapping[str, OutputWriter]
    ) -> None:
        """Add what binds services, by lower-case type, before functions are prepared."""
        self._fetchers.update(fetchers)
        self._writers.update(writers)

    def add_around(self, around: Sequence[Around]) -> None:
        """Add outer wrappers, before functions are prepared."""
        self._around = (*self._around, *around)

    def prepare(
        self,
        spec: FunctionSpec,
        decode: Callable[[V], object],
        finish: Finish[T],
        data: BindingData[V] | None = None,
    ) -> PreparedFunction[V, T]:
        """Decide once how a function is called.

        Args:
            spec: The function.
            decode: Makes the trigger's argument from what `call` is given.
            finish: Makes the result of `call`. What either raises is a failure of the function.
            data: What binding expressions may refer to; None: nothing of the trigger.

        Raises:
            BindingError: A binding is of a type that is not served here, or refuses the function.
        """
        call = without_middleware(spec.function)
        for wrap in self._around:
            call = wrap(spec, call)
        inputs, fetchers, writers = [], [], []
        for binding in spec.bindings:
            if binding.name == spec.trigger.name:
                continue
            kind = binding.type.lower()
            try:
                if binding.direction == "out":
                    if kind not in _FINISHED:
                        output = _served(self._writers, binding, "output")
                        writers.append((binding.name, output.writer(spec, binding)))
                elif kind in self._fetchers:
                    fetchers.append((binding.name, self._fetchers[kind].fetcher(spec, binding)))
                else:
                    source = _served(self._inputs, binding, "input")
                    inputs.append((binding.name, source.source(spec, binding)))
            except ValueError as exc:
                raise BindingError(spec.name, binding.name, str(exc)) from exc
        bound = {binding.name for binding in spec.bindings}
        return PreparedFunction(
            spec=spec,
            decode=decode,
            finish=finish,
            call=call,
            is_async=is_coroutine_callable(call),
            trigger_name=spec.trigger.name,
            takes_context="context" in spec.parameters and "context" not in bound,
            inputs=tuple(inputs),
            out_names=tuple(
                b.name for b in spec.bindings if b.direction == "out" and b.name != RETURN
            ),
            fetchers=tuple(fetchers),
            writers=tuple(writers),
            data=data if fetchers or writers else None,
        )

    async def call(
        self,
        function: PreparedFunction[V, T],
        value: V,
        *,
        reason: str,
        trace_parent: str = "",
        trace_state: str = "",
        retry: InvocationRetry | None = None,
        cause: object = None,
    ) -> T | Failure:
        """Invoke a function.

        Args:
            function: What `prepare` made.
            value: What its `decode` takes.
            reason: Why the function runs, for the log.
            trace_parent: W3C trace context of the caller, if any.
            trace_state: The rest of it.
            retry: Which attempt this is; None for the only one.
            cause: What the call carries out, for those `around` it: an ActivityTask, an
                EntityBatch.

        Returns:
            What `finish` made, or the failure, which has been logged.

        Raises:
            CancelledError: This call was cancelled. A plain function runs on in its thread.
        """
        task = asyncio.current_task()
        assert task is not None
        name = function.spec.name
        invocation_id = self._ids.guid()
        context = InvocationContext(
            invocation_id,
            function.spec,
            self._thread_local,
            self._ids,
            task,
            trace_parent,
            trace_state,
            retry,
            cause,
        )
        self._log.info(
            name, f"Executing 'Functions.{name}' (Reason='{reason}', Id={invocation_id})"
        )
        self._running[invocation_id] = context
        token = current_invocation.set(context)
        started = time.perf_counter()
        try:
            arguments: dict[str, Any] = {function.trigger_name: function.decode(value)}
            if function.takes_context:
                arguments["context"] = context
            if function.data is not None:
                context.binding_data = function.data(value)
            for input_name, source in function.inputs:
                arguments[input_name] = source(context)
            if function.fetchers:
                arguments.update(await fetched(function.fetchers, context))
            for out in function.out_names:
                arguments[out] = OutValue()
            self._time_limit.begin(context)
            try:
                if function.is_async:
                    context.task = task
                    returned = await function.call(**arguments)
                else:
                    returned = await self._threads.run(
                        contextvars.copy_context().run,
                        self._call_in_thread,
                        function.call,
                        arguments,
                        invocation_id,
                    )
            except BaseException as exc:
                self._time_limit.end(context, exc, runs_on=not function.is_async)
                raise
            self._time_limit.end(context, None, runs_on=False)
            outputs = _NO_OUTPUTS
            if function.out_names:
                outputs = {out: arguments[out].get() for out in function.out_names}
            result = function.finish(returned, outputs)
            if function.writers:
                await written(function.writers, context, {**outputs, RETURN: returned})
        except asyncio.CancelledError as exc:
            if task.cancelling():
                self._failed(name, invocation_id, started, "Cancelled: the host gave it up.")
                raise
            # Nobody cancelled the invocation: user code awaited something cancelled.
            self._failed(name, invocation_id, started, user_traceback(exc))
            return Failure(exc, invocation_id)
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # The edge to user code.
            self._failed(name, invocation_id, started, user_traceback(exc))
            return Failure(exc, invocation_id)
        finally:
            current_invocation.reset(token)
            del self._running[invocation_id]
        elapsed = int((time.perf_counter() - started) * 1000)
        self._log.info(
            name,
            f"Executed 'Functions.{name}' (Succeeded, Id={invocation_id}, Duration={elapsed}ms)",
        )
        return result

    def current(self) -> InvocationContext | None:
        """The invocation that the calling code belongs to.

        A thread that user code started belongs to the invocation whose id it has set in
        `context.thread_local_storage`.
        """
        context = current_invocation.get()
        if context is None:
            context = self._running.get(getattr(self._thread_local, "invocation_id", ""))
        return context

    def close(self) -> None:
        """Start no plain function any more. Threads that run user code are not waited for."""
        self._threads.close()
        self._time_limit.close()

    def _call_in_thread(
        self, call: Callable[..., Any], arguments: dict[str, object], invocation_id: str
    ) -> object:
        self._thread_local.invocation_id = invocation_id
        self._in_threads[invocation_id] = threading.get_ident()
        try:
            return call(**arguments)
        finally:
            del self._in_threads[invocation_id]
            del self._thread_local.invocation_id

    def _failed(self, name: str, invocation_id: str, started: float, text: str) -> None:
        line = _executed(name, "Failed", invocation_id, started)
        self._log.error(name, f"{line}\n{text}")


def _served(services: Mapping[str, S], binding: BindingSpec, kind: str) -> S:
    service = services.get(binding.type.lower())
    if service is None:
        raise ValueError(f"this host gives no '{binding.type}' {kind}.")
    return service


def _executed(name: str, outcome: str, invocation_id: str, started: float) -> str:
    elapsed = int((time.perf_counter() - started) * 1000)
    return f"Executed 'Functions.{name}' ({outcome}, Id={invocation_id}, Duration={elapsed}ms)"

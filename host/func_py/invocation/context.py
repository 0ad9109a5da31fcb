"""What user code is told about its invocation: `func.Context` and the pieces of it."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import azure.functions as func
from azure.functions import _abc as sdk_abc

from func_py_bindings.contract import FunctionSpec

current_invocation: ContextVar[InvocationContext | None] = ContextVar(
    "func_py_current_invocation", default=None
)
"""The invocation that the running code belongs to; copied into its tasks and threads."""

_NO_DATA: Mapping[str, object] = MappingProxyType({})


class IdSource:
    """Makes random ids of GUID form, far cheaper than `uuid.uuid4` and unrelated to `random.seed`.

    A forked process must make its own source: a copy would repeat the ids.
    """

    def __init__(self) -> None:
        self._bits = random.Random(os.urandom(32)).getrandbits

    def guid(self) -> str:
        """A random id in the form of a version 4 GUID."""
        digits = f"{self._bits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def trace_parent(self) -> str:
        """A W3C `traceparent` that starts a trace, not sampled."""
        return f"00-{self._bits(128) or 1:032x}-{self._bits(64) or 1:016x}-00"


class InvocationTrace(sdk_abc.TraceContext):  # type: ignore[misc]  # SDK is untyped
    """The W3C trace context of an invocation. The capitalised names are the SDK's old ones."""

    def __init__(self, trace_parent: str, trace_state: str, attributes: dict[str, str]) -> None:
        self._trace_parent = trace_parent
        self._trace_state = trace_state
        self._attributes = attributes

    @property
    def trace_parent(self) -> str:
        """The `traceparent` header."""
        return self._trace_parent

    @property
    def trace_state(self) -> str:
        """The `tracestate` header, or an empty text."""
        return self._trace_state

    @property
    def attributes(self) -> dict[str, str]:
        """Names that a telemetry exporter can attach."""
        return self._attributes

    Traceparent = trace_parent
    Tracestate = trace_state
    Attributes = attributes


class AttemptError(sdk_abc.RpcException):  # type: ignore[misc]  # SDK is untyped
    """The failure of an attempt, as the next one is told of it."""

    def __init__(self, source: str, message: str, stack_trace: str) -> None:
        self._source = source
        self._message = message
        self._stack_trace = stack_trace

    @property
    def source(self) -> str:
        """The function that failed."""
        return self._source

    @property
    def message(self) -> str:
        """`Type: text` of the exception."""
        return self._message

    @property
    def stack_trace(self) -> str:
        """The traceback."""
        return self._stack_trace


class InvocationRetry(sdk_abc.RetryContext):  # type: ignore[misc]  # SDK is untyped
    """Which attempt of a retried invocation this is; `retry_count` 0 is the first."""

    def __init__(
        self,
        retry_count: int = 0,
        max_retry_count: int = 0,
        exception: AttemptError | None = None,
    ) -> None:
        self._retry_count = retry_count
        self._max_retry_count = max_retry_count
        self._exception = exception

    @property
    def retry_count(self) -> int:
        """Attempts before this one."""
        return self._retry_count

    @property
    def max_retry_count(self) -> int:
        """Retries allowed; 0 without a retry policy, -1 without an end."""
        return self._max_retry_count

    @property
    def exception(self) -> AttemptError | None:
        """The failure of the attempt before; None at the first."""
        return self._exception


class InvocationContext(func.Context):  # type: ignore[misc]  # SDK is untyped
    """One invocation: identity for the host's log, `func.Context` for user code."""

    def __init__(
        self,
        invocation_id: str,
        spec: FunctionSpec,
        thread_local: threading.local,
        ids: IdSource,
        caller: asyncio.Task[Any],
        trace_parent: str = "",
        trace_state: str = "",
        retry: InvocationRetry | None = None,
        cause: object = None,
    ) -> None:
        """`caller`: runs the invocation. `cause`: what is being done, for spans: the activity call,
        the batch of an entity."""
        self.cause = cause
        self.caller = caller
        self.deadline = math.inf
        """When its code has to be through, by the monotonic clock; see `TimeLimit`."""
        self.cancelled_before = 0
        """How often others had cancelled the caller when its code began."""
        self.is_expired = False
        """It was cancelled because its time was over."""
        self.task: asyncio.Task[Any] | None = None
        """That runs the code of an async function."""
        self._retry = retry
        self._invocation_id = invocation_id
        self._spec = spec
        self._thread_local = thread_local
        self._ids = ids
        self._trace_parent = trace_parent
        self._trace_state = trace_state
        self._trace: InvocationTrace | None = None
        self.binding_data: Mapping[str, object] = _NO_DATA
        """For binding expressions; empty unless a binding of the function may ask for it."""

    @property
    def invocation_id(self) -> str:
        """A GUID, new for every invocation and attempt."""
        return self._invocation_id

    @property
    def function_name(self) -> str:
        """The name of the function."""
        return self._spec.name

    @property
    def function_directory(self) -> str:
        """The folder of the function's code."""
        return str(self._spec.directory)

    @property
    def thread_local_storage(self) -> threading.local:
        """User threads set `invocation_id` here, so that their log records are attributed."""
        return self._thread_local

    @property
    def trace_context(self) -> InvocationTrace:
        """The caller's trace, or a new one."""
        if self._trace is None:
            self._trace = InvocationTrace(
                self._trace_parent or self._ids.trace_parent(),
                self._trace_state,
                {"InvocationId": self._invocation_id, "OperationName": self._spec.name},
            )
        return self._trace

    @property
    def has_caller(self) -> bool:
        """Does the trace come from a caller?"""
        return bool(self._trace_parent)

    def continue_trace(self, trace_parent: str, trace_state: str) -> None:
        """From here on the invocation's trace context is that of its own span."""
        self._trace_parent, self._trace_state = trace_parent, trace_state
        self._trace = None

    @property
    def retry_context(self) -> InvocationRetry:
        """The attempt; functions without a retry policy are on their first."""
        return self._retry or InvocationRetry()


class OutValue(func.Out[Any]):  # type: ignore[misc]  # SDK is untyped
    """An output parameter; the last value set wins."""

    def __init__(self) -> None:
        self._value: object = None

    def set(self, val: object) -> None:
        """Set the value."""
        self._value = val

    def get(self) -> object:
        """The value set last, or None."""
        return self._value

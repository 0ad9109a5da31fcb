"""The words that host and bindings share: functions, their bindings, and the seams between them.

Values only. Nothing here imports the host, a server or a storage client.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

Direction = Literal["in", "out", "inout"]

RETURN = "$return"
"""The binding name that stands for the return value of a function."""


_WRAPPED = ("orchestrator_function", "entity_function", "client_function")
"""Where the SDK's durable decorators keep the function they wrap."""


@dataclass(frozen=True, slots=True)
class BindingSpec:
    """One binding as the app declares it; `properties` holds what its type adds (JSON values)."""

    type: str
    name: str
    direction: Direction
    properties: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """The property of this name in any case, or None. Empty text counts as absent."""
        found = self.properties.get(key)
        if found is None:
            lowered = key.lower()
            found = next((v for k, v in self.properties.items() if k.lower() == lowered), None)
        return None if found == "" else found


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed invocation is repeated: after `minimum` at first, growing up to `maximum`.

    `max_retry_count` None means without end. A fixed delay has two equal bounds.
    """

    max_retry_count: int | None
    minimum: timedelta
    maximum: timedelta


class Lifespan(Protocol):
    """What an app wants to be told about its host: that it begins to serve, that it ends."""

    async def start(self) -> None:
        """The host is about to serve. Raises what the app raises."""
        ...

    async def stop(self) -> None:
        """The host has served its last request. Raises what the app raises."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSpec:
    """One function of an app, validated: what the host needs to call it.

    `function` takes keyword arguments named by the bindings. `bindings` includes the trigger.
    `parameters` are the names that the user's signature declares, `context` included.
    `python_name` is the `__name__` of the user's code; the SDK uses it where an app passes a
    function object. `app` is the folder name when a host runs several apps, else empty.
    `problem` tells why a function of the version 1 model is in error: it is listed, but each call
    raises; where even its bindings are unusable, its trigger has the empty type. `is_disabled` is
    what function.json says.
    """

    name: str
    app_root: Path
    directory: Path
    script_file: Path
    function: Callable[..., Any]
    is_async: bool
    trigger: BindingSpec
    bindings: tuple[BindingSpec, ...]
    parameters: tuple[str, ...]
    python_name: str
    app: str = ""
    retry: RetryPolicy | None = None
    lifespan: Lifespan | None = None
    problem: str = ""
    is_disabled: bool = False

    @property
    def location(self) -> str:
        """`file:line` of the user's code, or its file; for messages."""
        return location_of(self.function) or str(self.script_file)

    @property
    def return_binding(self) -> BindingSpec | None:
        """The binding named `$return`, if any."""
        return next((b for b in self.bindings if b.name == RETURN), None)


class Invocation(Protocol):
    """The call being made, as far as an input may know it."""

    @property
    def invocation_id(self) -> str: ...

    @property
    def function_name(self) -> str: ...

    @property
    def binding_data(self) -> Mapping[str, object]:
        """What the trigger tells, for binding expressions; empty where nothing asks for it."""
        ...


class InputSource(Protocol):
    """Gives the arguments of input bindings of one type."""

    def source(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation], object]:
        """Prepare once per function what makes the argument of each call.

        Raises:
            ValueError: The binding cannot be served; the text says why.
        """
        ...


class InputFetcher(Protocol):
    """Gets the arguments of input bindings of one type from a service."""

    def fetcher(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation], Awaitable[object]]:
        """Prepare once per function what gets the argument of each call.

        Raises:
            ValueError: The binding cannot be served; the text says why.
        """
        ...


Send = Callable[[], Awaitable[None]]
"""Writes an output that has been found good. Raises what keeps it from being written."""


class OutputWriter(Protocol):
    """Writes the values of output bindings of one type to a service."""

    def writer(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation, object], Send]:
        """Prepare once per function what takes the value of each call, which is never None.

        All values of an invocation are looked at before the first is written: what is called
        with a value raises TypeError or ValueError for one that cannot be written.

        Raises:
            ValueError: The binding cannot be served; the text says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class BindingType:
    """What the host knows of one binding type.

    `accepts`: whether a parameter (or return) annotation fits the type's values. `check` yields
    every problem of one binding of a function, each a full sentence. `implicit_output`: without a
    `$return` binding the return value belongs to this binding.
    """

    name: str
    directions: frozenset[Direction]
    is_trigger: bool = False
    implicit_output: bool = False
    accepts: Callable[[object], bool] = lambda annotation: True
    check: Callable[[BindingSpec, Callable[..., Any]], Iterator[str]] = lambda binding, fn: iter(())


def user_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function the user wrote, below the SDK's durable wrappers and `functools.wraps`."""
    inner: Callable[..., Any] | None = function
    while inner is not None:
        function = inner
        inner = next(filter(callable, (getattr(function, w, None) for w in _WRAPPED)), None)
    code: Callable[..., Any] = inspect.unwrap(function)
    return code


def location_of(function: Callable[..., Any]) -> str:
    """`file:line` of the user's code behind `function`, or an empty text for a builtin."""
    code = getattr(user_code(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def is_coroutine_callable(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine; also for objects with an async `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # The method itself is wanted.
    )

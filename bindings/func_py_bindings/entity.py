"""The entity trigger: operations, run one after another on the SDK's own entity context.

This is what the SDK's batch handler does, without the JSON around it, and with the results apart:
each is encoded when its operation ends, so that none is seen by the next operation and one that
cannot be encoded fails that operation alone.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from azure.durable_functions import DurableEntityContext

from func_py_bindings.contract import BindingSpec, BindingType, user_code
from func_py_bindings.durable_function import check_context
from func_py_bindings.explained import explain_read, explain_write
from func_py_bindings.json_text import JsonValue, decode, encode


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `input` is the JSON text of its argument, `null` for none."""

    name: str
    input: str


@dataclass(frozen=True, slots=True)
class EntityCall:
    """Operations on one entity, and what they find. `name` is lower case.

    `state` is JSON text, None while there is none. After `patience_s` seconds no further operation
    is begun. `done` is filled as operations end, so that who gives the call up knows how far it
    came.
    """

    name: str
    key: str
    exists: bool
    state: str | None
    operations: Sequence[Operation]
    patience_s: float = math.inf
    done: list[str | BaseException] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EntityOutcome:
    """The entity afterwards, and for each operation its result as JSON text or what it raised.

    With fewer results than operations, the rest has not been run.
    """

    exists: bool
    state: str | None
    results: Sequence[str | BaseException]


class _Context(DurableEntityContext):  # type: ignore[misc]  # SDK is untyped
    """The SDK's context, given one operation after another."""

    def begin(self, operation: Operation) -> None:
        """Make an operation the current one; the state stays as the last one left it."""
        self._operation = operation.name
        self._input = operation.input
        self._result = None

    def get_input(self, expected_type: type | None = None) -> JsonValue:
        """See the SDK, which decodes its text twice and raises where there is no input."""
        if self._input == "null":
            return None
        try:
            return decode(self._input, expected_type)
        except Exception as error:
            what = f"the input of operation '{self._operation}' of {self._shown_name}"
            explain_read(error, self._input, what, expected_type)
            raise

    def get_state(
        self, initializer: Callable[[], Any] | None = None, expected_type: type | None = None
    ) -> JsonValue:
        """See the SDK."""
        stored = self._state if self._state_is_raw else None
        try:
            return super().get_state(initializer, expected_type)
        except Exception as error:
            explain_read(error, stored, f"the state of {self._shown_name}", expected_type)
            raise

    @property
    def stored(self) -> str | None:
        """The state as text; raises when it cannot be encoded."""
        if not self._exists:
            return None
        if self._state_is_raw:
            return str(self._state)
        try:
            return encode(self._state)
        except Exception as error:
            explain_write(error, self._state, f"the state of {self._shown_name}")
            raise

    @property
    def result(self) -> str:
        """The result of the operation as text; raises when it cannot be encoded."""
        try:
            return encode(self._result)
        except Exception as error:
            what = f"the result of operation '{self._operation}' of {self._shown_name}"
            explain_write(error, self._result, what)
            raise

    @property
    def _shown_name(self) -> str:
        return f"entity '@{self._entity_name}@{self._entity_key}'"


def run_operations(function: Callable[..., Any], call: EntityCall) -> EntityOutcome:
    """Run the operations of one entity, in order.

    What an operation raises is its result; the state it had set by then is kept, as with the SDK.
    When the state cannot be encoded in the end, the operations are run once more, one by one from
    the state before: the one whose state it is fails and changes nothing.

    Args:
        function: What the app registered: the SDK's handle, or the user's function itself.
        call: The operations.
    """
    code = getattr(function, "entity_function", function)
    context = _Context(call.name, call.key, call.exists, call.state)
    context._state_is_raw = call.state is not None
    started = time.monotonic()
    for operation in call.operations:
        call.done.append(_run(code, context, operation))
        if time.monotonic() - started >= call.patience_s:
            break
    try:
        return EntityOutcome(context._exists, context.stored, call.done)
    except Exception as error:  # noqa: BLE001  # The user's to_json.
        if len(call.operations) == 1:
            return EntityOutcome(call.exists, call.state, [error])
    return _run_singly(function, call)


def _run(code: Callable[..., Any], context: _Context, operation: Operation) -> str | BaseException:
    context.begin(operation)
    try:
        code(context)
        return context.result
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # The edge to user code, also SystemExit.
        return error


def _run_singly(function: Callable[..., Any], call: EntityCall) -> EntityOutcome:
    exists, state = call.exists, call.state
    for position, operation in enumerate(call.operations[: len(call.done)]):
        single = EntityCall(call.name, call.key, exists, state, [operation])
        outcome = run_operations(function, single)
        exists, state = outcome.exists, outcome.state
        call.done[position] = outcome.results[0]
    return EntityOutcome(exists, state, call.done)


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    """Problems of an entity function: the SDK would call it and never run its code."""
    code = user_code(function)
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        yield "an entity function cannot be 'async def': nobody awaits it. Write 'def'."
    elif inspect.isgeneratorfunction(code):
        yield (
            "an entity function cannot 'yield': it is called once for each operation. Work that "
            "waits for tasks belongs into an orchestrator."
        )
    yield from check_context(binding, function)


TYPES = (
    BindingType(
        "entityTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        implicit_output=True,
        check=_check,
    ),
)

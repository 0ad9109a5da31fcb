"""Entities for the engine: a batch of operations in, state and results out."""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from func_py.durable.model import EntityBatch, EntityRequest, EntityResult, OperationResult
from func_py.durable.replay import decode_start_input
from func_py.errors import FunctionNotRegistered
from func_py.invocation.activities import failure_details
from func_py.invocation.invoker import Failure, Invoker, PreparedFunction
from func_py.logs import user_traceback
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.durable_function import DurableFunction, by_name, durable_functions
from func_py_bindings.entity import EntityCall, EntityOutcome, Operation, run_operations

log = logging.getLogger("func_py.entities")

_Prepared = PreparedFunction[EntityCall, EntityOutcome]


class EntityCalls:
    """Runs batches of operations; an entity answers to its durable name, function or Python name.

    A batch is one invocation: one thread hop, one pair of log lines, one context.
    """

    def __init__(
        self,
        functions: Iterable[FunctionSpec],
        invoker: Invoker,
        patience: timedelta = timedelta(seconds=1),
    ) -> None:
        """`patience`: when operations of a batch took that long, the rest is left for the next."""
        entities = durable_functions(functions, "entity")
        self._invoker = invoker
        self._patience_s = patience.total_seconds()
        self._names = {name: entity.name for name, entity in by_name(entities).items()}
        prepared = {entity: _prepare(entity, invoker) for entity in entities}
        self._calls = {name: prepared[entity] for name, entity in by_name(entities).items()}

    async def run(self, batch: EntityBatch) -> EntityResult:
        """Run the operations in order.

        Returns:
            The entity afterwards and one result for each operation that ran; what user code raised
            is a failure in it, and logged.

        Raises:
            FunctionNotRegistered: No entity has this name; nothing ran.
            CancelledError: The call was cancelled.
        """
        function = self._calls.get(batch.name.lower())
        if function is None:
            raise self.not_registered(batch.name)
        call = EntityCall(
            batch.name,
            batch.key,
            batch.exists,
            batch.state,
            [_operation(request) for request in batch.operations],
            self._patience_s,
        )
        trace = batch.trace
        outcome = await self._invoker.call(
            function,
            call,
            reason="(null)",
            trace_parent=trace.trace_parent if trace is not None else "",
            trace_state=trace.trace_state if trace is not None else "",
            cause=batch,
        )
        if isinstance(outcome, Failure):
            return await self._without(batch, len(call.done), outcome.error)
        return EntityResult(
            exists=outcome.exists,
            state=outcome.state,
            results=[_result(each) for each in outcome.results],
        )

    async def _without(
        self, batch: EntityBatch, position: int, error: BaseException
    ) -> EntityResult:
        """A batch broke off (mostly: it took too long) in the operation at this position.

        Those before are run again, for what they did is not known; else that operation has failed.
        """
        if position > 0:
            return await self.run(
                msgspec.structs.replace(batch, operations=batch.operations[:position])
            )
        failed = OperationResult(failure=failure_details(error))
        return EntityResult(exists=batch.exists, state=batch.state, results=[failed])

    def not_registered(self, name: str) -> FunctionNotRegistered:
        """The error for a name that no entity answers to, with the nearest one that exists."""
        near = difflib.get_close_matches(name.lower(), self._names, n=1)
        known = sorted(set(self._names.values()))
        return FunctionNotRegistered("entity", name, known, self._names[near[0]] if near else None)


def _prepare(entity: DurableFunction, invoker: Invoker) -> _Prepared:
    function = entity.spec.function
    trigger = entity.spec.trigger.name

    # In place of the SDK's handle, whose parameter has another name than many a trigger.
    @functools.wraps(function)
    def run(**arguments: Any) -> tuple[EntityCall, EntityOutcome]:
        call: EntityCall = arguments[trigger]
        return call, run_operations(function, call)

    def finish(returned: Any, outputs: Mapping[str, object]) -> EntityOutcome:
        call: EntityCall
        outcome: EntityOutcome
        call, outcome = returned
        for operation, result in zip(call.operations, outcome.results, strict=True):
            if isinstance(result, BaseException):
                log.error(
                    "Operation '%s' of entity '@%s@%s' failed: %s",
                    operation.name,
                    call.name,
                    call.key,
                    user_traceback(result),
                )
        return outcome

    return invoker.prepare(replace(entity.spec, function=run), lambda call: call, finish)


def _operation(request: EntityRequest) -> Operation:
    # As for an orchestration's input: a string that holds JSON is opened, raw JSON is taken as is.
    return Operation(request.operation or "", decode_start_input(request.input) or "null")


def _result(outcome: str | BaseException) -> OperationResult:
    if isinstance(outcome, BaseException):
        return OperationResult(failure=failure_details(outcome))
    return OperationResult(result=outcome)

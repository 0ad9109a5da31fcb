"""One turn of one entity: requests and the results of their operations in, a `Turn` to commit out.

Pure: reads no clock, stores nothing and runs no user code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from func_py.durable.engine.entity_order import Choice, Requested
from func_py.durable.model import (
    CONTINUE_EVENT,
    REQUEST_EVENT,
    EntityBatch,
    EntityRequest,
    EntityResult,
    EntityState,
    EventRaised,
    InstanceState,
    Message,
    OperationResult,
    RuntimeStatus,
    TraceContext,
    encode_request,
    split_entity_id,
)
from func_py.durable.storage.base import Lease, Token, Turn

_GRANTED = "Lock Acquisition Completed"
"""What other hosts answer to a request for locks; nobody reads it."""

_REMEMBERED = 256
"""Ids kept of the messages that earlier turns took."""

DELETED = EntityResult(exists=False, state=None, results=())
"""What becomes of an entity that is deleted unrun."""


def new_entity(instance_id: str, execution_id: str, now: datetime) -> InstanceState:
    """The record of an entity that has had no turn."""
    name, _ = split_entity_id(instance_id) or ("", "")
    return InstanceState(
        instance_id=instance_id,
        execution_id=execution_id,
        name=name,
        status=RuntimeStatus.COMPLETED,
        created_at=now,
        last_updated_at=now,
        entity=EntityState(),
    )


def batch_of(state: InstanceState, requests: Sequence[Requested]) -> EntityBatch:
    """The operations to run, and the state they find."""
    _, key = split_entity_id(state.instance_id) or ("", "")
    entity = state.entity or EntityState()
    return EntityBatch(
        name=state.name,
        key=key,
        exists=entity.exists,
        state=entity.state,
        operations=[each.request for each in requests],
        trace=_trace_of(requests) or state.trace,
    )


def _trace_of(requests: Sequence[Requested]) -> TraceContext | None:
    """A batch belongs to the trace of its first operation that has one."""
    for each in requests:
        trace = each.request.trace
        if trace is not None and trace.trace_parent:
            return TraceContext(
                trace_parent=trace.trace_parent, trace_state=trace.trace_state or ""
            )
    return None


def unchanged(state: InstanceState, results: Sequence[OperationResult]) -> EntityResult:
    """The result of operations that were not run: the entity is as before."""
    entity = state.entity or EntityState()
    return EntityResult(exists=entity.exists, state=entity.state, results=results)


def entity_turn(
    lease: Lease,
    token: Token,
    state: InstanceState,
    choice: Choice,
    result: EntityResult,
    time: datetime,
    *,
    remembers: bool,
) -> Turn:
    """The turn that takes requests, leaves the entity as `result` says and answers the callers.

    A lock that it grants goes on to the next entity, or its grant to whoever asked.

    Args:
        lease: Of the entity's partition.
        token: Fences the turn; None when the entity has no record yet.
        state: The record before.
        choice: What is taken from inbox and queue.
        result: What became of it; one result for each operation.
        time: When the turn ends.
        remembers: Keep the ids of the messages taken, because they may be delivered again.
    """
    taken = [item.message_id for item in choice.items]
    recent: tuple[str, ...] = ()
    if remembers:
        before = state.entity.recent if state.entity is not None else ()
        # All of this turn at least: a provider may repeat as much as it gave at once.
        recent = tuple([*before, *taken][-max(_REMEMBERED, len(taken)) :])
    entity = EntityState(
        exists=result.exists,
        state=result.state,
        recent=recent,
        locked_by=choice.lock.request.parent if choice.lock is not None else choice.locked_by,
        queue=choice.queue,
    )
    messages = [
        _answer(state.instance_id, each.request, outcome, time)
        for each, outcome in zip(choice.operations, result.results, strict=True)
        if each.request.is_answered
    ]
    if choice.lock is not None:
        messages.append(_lock_passed_on(state.instance_id, choice.lock.request, time))
    if taken and entity.queue and entity.locked_by in (None, entity.queue[0].parent):
        # Without mail taken there is mail left, which brings the next turn.
        messages.append(_go_on(state.instance_id, taken[0], time))
    return Turn(
        lease=lease,
        token=token,
        state=replace(
            state,
            # An empty entity may be purged like a finished instance.
            status=RuntimeStatus.COMPLETED if entity.is_empty else RuntimeStatus.RUNNING,
            last_updated_at=max(time, state.last_updated_at),
            entity=entity,
        ),
        consumed=taken,
        messages=messages,
    )


def _answer(
    instance_id: str, request: EntityRequest, result: OperationResult, time: datetime
) -> Message:
    """What the caller of an operation is told; the SDK wants the result as text that is JSON."""
    answer = {"result": result.result if result.result is not None else "null"}
    if result.failure is not None:
        answer = {
            "result": json.dumps(result.failure.message),
            "exceptionType": result.failure.type,
        }
    return _to_parent(instance_id, request, answer, time)


def _to_parent(
    instance_id: str, request: EntityRequest, answer: Mapping[str, str], time: datetime
) -> Message:
    message_id = f"{request.id}:answer"
    return Message(
        id=message_id,
        instance_id=request.parent or "",
        execution_id=request.parent_execution or "",
        sender=instance_id,
        event=EventRaised(
            timestamp=time, message_id=message_id, name=request.id, input=json.dumps(answer)
        ),
    )


def _lock_passed_on(instance_id: str, request: EntityRequest, time: datetime) -> Message:
    """To the entity that is to be locked next; after the last one, to whoever asked."""
    targets = request.lock_set or ()
    position = request.position + 1
    if position >= len(targets):
        return _to_parent(instance_id, request, {"result": _GRANTED}, time)
    message_id = f"{request.id}:lock:{position}"
    return Message(
        id=message_id,
        instance_id=targets[position].instance_id,
        sender=instance_id,
        event=EventRaised(
            timestamp=time,
            message_id=message_id,
            name=REQUEST_EVENT,
            input=encode_request(replace(request, position=position)),
        ),
    )


def _go_on(instance_id: str, after: str, time: datetime) -> Message:
    """Has the entity serve what is in its queue; `after`: a message that this turn took."""
    message_id = f"{after}:continue"
    return Message(
        id=message_id,
        instance_id=instance_id,
        sender=instance_id,
        event=EventRaised(timestamp=time, message_id=message_id, name=CONTINUE_EVENT),
    )

"""One turn of one entity: requests and the results of their operations in, a `Turn` to commit out.

Pure: reads no clock, stores nothing and runs no user code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    REQUEST_EVENT,
    EntityBatch,
    EntityRequest,
    EntityResult,
    EntityState,
    EventRaised,
    ExecutionTerminated,
    InstanceState,
    Message,
    OperationResult,
    RuntimeStatus,
    TraceContext,
    decode_request,
    split_entity_id,
)
from func_py.durable.storage.base import Lease, Token, Turn

_REMEMBERED = 256
"""Ids kept of the messages that earlier turns took."""


DELETED = EntityResult(exists=False, state=None, results=[OperationResult()])
"""What becomes of an entity, and of the message that asks for it, when it is deleted unrun."""


class Requested(NamedTuple):
    """A request from the inbox of an entity, and the mail that brought it."""

    item: Item
    request: EntityRequest


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


def deletion_in(items: Sequence[Item]) -> int:
    """How many items lie before the first that deletes the entity without asking its code.

    That is a purge; it travels as a termination.
    """
    for position, item in enumerate(items):
        if isinstance(item.event, ExecutionTerminated):
            return position
    return len(items)


def sort_out(
    items: Sequence[Item], delivered: Collection[str]
) -> tuple[list[Requested], list[Item]]:
    """What the items ask of an entity, in order, and those that ask for nothing.

    The latter are requests that an earlier turn took (`delivered`: ids of messages), and what means
    nothing to an entity: other events, commands to orchestrations.
    """
    requests: list[Requested] = []
    strays: list[Item] = []
    for item in items:
        event = item.event
        request = None
        if isinstance(event, EventRaised) and event.name == REQUEST_EVENT:
            request = decode_request(event.input)
        if request is None or item.message_id in delivered:
            strays.append(item)
        else:
            requests.append(Requested(item, request))
    return requests, strays


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
    requests: Sequence[Requested],
    result: EntityResult,
    time: datetime,
    *,
    remembers: bool,
) -> Turn:
    """The turn that takes requests, leaves the entity as `result` says and answers the callers.

    Args:
        lease: Of the entity's partition.
        token: Fences the turn; None when the entity has no record yet.
        state: The record before.
        requests: What is taken from the inbox.
        result: What became of it; one result for each request.
        time: When the turn ends.
        remembers: Keep the ids of the messages taken, because they may be delivered again.
    """
    taken = [each.item.message_id for each in requests]
    recent: tuple[str, ...] = ()
    if remembers:
        before = state.entity.recent if state.entity is not None else ()
        # All of this turn at least: a provider may repeat as much as it gave at once.
        recent = tuple([*before, *taken][-max(_REMEMBERED, len(taken)) :])
    return Turn(
        lease=lease,
        token=token,
        state=replace(
            state,
            # An entity that does not exist may be purged like a finished instance.
            status=RuntimeStatus.RUNNING if result.exists else RuntimeStatus.COMPLETED,
            last_updated_at=max(time, state.last_updated_at),
            entity=EntityState(exists=result.exists, state=result.state, recent=recent),
        ),
        consumed=taken,
        messages=[
            _answer(state.instance_id, each.request, outcome, time)
            for each, outcome in zip(requests, result.results, strict=True)
            if each.request.is_answered
        ],
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

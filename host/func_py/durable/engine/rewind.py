"""Rewinding a failed orchestration: history cut before the failure, lost work handed out again.

The cut lies before the turn that brought the failure which ended the execution (for a call with
retries: its last attempt). What other tasks answered from there on is delivered again, in order;
what they failed with is not: those calls are made once more. Failures from before the cut, which
the code had caught, stay. The code then runs on under a new execution id, so that nothing of the
failed execution reaches it late. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from func_py.durable.engine.effects import (
    answer_to_parent,
    derived_id,
    new_generation_wake,
)
from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    REQUEST_EVENT,
    ActivityTask,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    InstanceState,
    Message,
    OrchestratorStarted,
    ParentLink,
    RuntimeStatus,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TimerTask,
    TraceContext,
    decode_request,
    encode_request,
    own_trace,
)
from func_py.durable.storage.base import Lease, Token, Turn

_Failed = TaskFailed | SubOrchestrationFailed
_Answer = TaskCompleted | TaskFailed | SubOrchestrationCompleted | SubOrchestrationFailed
_Kept = TaskCompleted | SubOrchestrationCompleted | TimerFired | EventRaised


def _last_turn(events: Sequence[HistoryEvent], before: int) -> int:
    """Index of the OrchestratorStarted of the turn that holds the event before `before`."""
    for index in range(before - 1, -1, -1):
        if isinstance(events[index], OrchestratorStarted):
            return index
    return 0


def cut_of(events: Sequence[HistoryEvent]) -> int:
    """Index of the turn from which on a failed history is not kept as it was."""
    end = next((i for i, e in enumerate(events) if isinstance(e, ExecutionCompleted)), len(events))
    final = _last_turn(events, end)
    brought = events[final:end]
    if any(isinstance(event, _Failed) for event in brought):
        return final
    # The surplus timer after the last attempt of a retried call: what failed is where the timer
    # was made.
    fired = {event.task_id for event in brought if isinstance(event, TimerFired)}
    for index, event in enumerate(events[:final]):
        if isinstance(event, TimerCreated) and event.task_id in fired:
            turn = _last_turn(events, index)
            if any(isinstance(e, _Failed) for e in events[turn:index]):
                return turn
    return final


class Pieces(msgspec.Struct, frozen=True, kw_only=True):
    """A failed history taken apart."""

    kept: Sequence[HistoryEvent]
    """Closed turns that stay."""
    again: Sequence[HistoryEvent]
    """Messages to be delivered once more."""
    open_calls: Sequence[TaskScheduled | TimerCreated | SubOrchestrationCreated | EventSent]
    """What was asked for in the turns that stay and has no answer in either."""


def take_apart(events: Sequence[HistoryEvent]) -> Pieces:
    """What stays of a failed history, what is delivered again, what is asked for again."""
    cut = cut_of(events)
    kept, rest = events[:cut], events[cut:]
    asked = {
        event.task_id: event
        for event in kept
        if isinstance(event, TaskScheduled | TimerCreated | SubOrchestrationCreated | EventSent)
    }
    requests = {
        request.id: task_id
        for task_id, event in asked.items()
        if isinstance(event, EventSent) and (request := decode_request(event.input)) is not None
    }
    again = [
        event
        for event in rest
        if isinstance(event, EventRaised | ExecutionSuspended | ExecutionResumed | ExecutionStarted)
        or (isinstance(event, _Kept) and event.task_id in asked)
    ]
    answered = {
        event.task_id for event in (*kept, *again) if isinstance(event, _Answer | TimerFired)
    }
    answered |= {
        requests[event.name]
        for event in (*kept, *again)
        if isinstance(event, EventRaised) and event.name in requests
    }
    answered |= {
        event.task_id
        for event in asked.values()
        if isinstance(event, EventSent) and not _is_call(event)
    }
    return Pieces(
        kept=kept,
        again=again,
        open_calls=[event for task_id, event in asked.items() if task_id not in answered],
    )


def _is_call(event: EventSent) -> bool:
    request = decode_request(event.input)
    return event.name == REQUEST_EVENT and request is not None and not request.is_signal


def rewinding_turn(
    lease: Lease,
    token: Token,
    state: InstanceState,
    events: Sequence[HistoryEvent],
    items: Sequence[Item],
    asked: ExecutionRewound,
    time: datetime,
    *,
    traced: bool = False,
) -> Turn:
    """Replace a failed history by one that has not failed yet, in one commit.

    Args:
        lease: The partition's.
        token: Of the instance as stored.
        state: Its record; Failed.
        events: Its whole history.
        items: The messages that asked for it.
        asked: The request; for a child it names the parent's new execution.
        time: Of the turn.
        traced: What is asked again belongs to the span of the orchestration itself.
    """
    pieces = take_apart(events)
    execution_id = derived_id(state.execution_id, f"rewound:{items[0].message_id}")
    parent = asked.parent or state.parent

    def renamed(event: HistoryEvent) -> HistoryEvent:
        if isinstance(event, ExecutionStarted):
            return replace(event, execution_id=execution_id, parent=parent)
        return event

    opened: list[HistoryEvent] = [OrchestratorStarted(timestamp=time)]
    again = [renamed(event) for event in pieces.again]
    if again and isinstance(again[0], ExecutionStarted):
        opened.append(again.pop(0))
    opened += [asked, *again]
    turn = Turn(
        lease=lease,
        token=token,
        state=replace(
            state,
            execution_id=execution_id,
            status=RuntimeStatus.RUNNING,
            parent=parent,
            output=None,
            failure=None,
            completed_at=None,
            last_updated_at=time,
        ),
        events=[*map(renamed, pieces.kept), *opened],
        replaces_history=True,
        drop_activities=True,
        consumed=[item.message_id for item in items if item.message_id],
    )
    _ask_again(turn, pieces, asked, time, own_trace(turn.state) if traced else state.trace)
    return turn


def _ask_again(
    turn: Turn,
    pieces: Pieces,
    asked: ExecutionRewound,
    time: datetime,
    trace: TraceContext | None,
) -> None:
    state = turn.state
    activities: list[ActivityTask] = []
    timers: list[TimerTask] = []
    messages: list[Message] = []
    for event in pieces.open_calls:
        if isinstance(event, TaskScheduled):
            activities.append(
                ActivityTask(
                    instance_id=state.instance_id,
                    execution_id=state.execution_id,
                    task_id=event.task_id,
                    name=event.name,
                    input=event.input,
                    trace=trace,
                )
            )
        elif isinstance(event, TimerCreated):
            timers.append(
                TimerTask(
                    instance_id=state.instance_id,
                    execution_id=state.execution_id,
                    task_id=event.task_id,
                    fire_at=event.fire_at,
                )
            )
        else:
            messages.append(_message_again(event, state, asked, time))
    turn.activities = activities
    turn.timers = timers
    turn.messages = [*messages, new_generation_wake(state, time)]


def _message_again(
    event: SubOrchestrationCreated | EventSent,
    state: InstanceState,
    asked: ExecutionRewound,
    time: datetime,
) -> Message:
    message_id = f"{state.execution_id}:{event.task_id}"
    told: HistoryEvent
    if isinstance(event, SubOrchestrationCreated):
        told = ExecutionRewound(
            timestamp=time,
            message_id=message_id,
            reason=asked.reason,
            parent=ParentLink(
                instance_id=state.instance_id,
                execution_id=state.execution_id,
                name=state.name,
                task_id=event.task_id,
            ),
        )
    else:
        request = decode_request(event.input)
        assert request is not None
        told = EventRaised(
            timestamp=time,
            message_id=message_id,
            name=REQUEST_EVENT,
            input=encode_request(replace(request, parent_execution=state.execution_id)),
        )
    return Message(
        id=message_id, instance_id=event.instance_id, sender=state.instance_id, event=told
    )


def adopting_turn(
    lease: Lease,
    token: Token,
    state: InstanceState,
    items: Sequence[Item],
    parent: ParentLink,
    time: datetime,
) -> Turn:
    """A child that has not failed answers its parent's new execution; at once when it has ended."""
    turn = Turn(
        lease=lease,
        token=token,
        state=replace(state, parent=parent, last_updated_at=time),
        consumed=[item.message_id for item in items if item.message_id],
    )
    if state.status.is_terminal:
        told = answer_to_parent(state, parent, time)
        turn.messages = [replace(told, id=f"{told.id}:{parent.execution_id}")]
    return turn

"""One turn of one orchestration: messages and live execution in, a `Turn` to commit out.

Pure: reads no clock and stores nothing; user code runs inside `Session.feed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from func_py.durable.engine.effects import Effects, derived_id, end, fail, new_generation_wake
from func_py.durable.engine.slot import Item, Slot
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    ExecutionStarted,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    HistoryEvent,
    InstanceState,
    LongTimers,
    Message,
    OrchestratorCompleted,
    OrchestratorStarted,
    RuntimeStatus,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from func_py.durable.replay import Session, encode_start_input
from func_py.durable.replay.decisions import ContinueAsNew
from func_py.durable.storage.base import Lease, TaskKey, Turn


def turn_time(slot: Slot, items: Sequence[Item], now: datetime) -> datetime:
    """A turn is not earlier than history, nor than the due time of a timer it delivers."""
    time = max(now, slot.last_time)
    for item in items:
        if isinstance(item.event, TimerFired):
            time = max(time, item.event.fire_at)
    return time


def activity_event(
    task: ActivityTask, result: ActivityResult, now: datetime
) -> TaskCompleted | TaskFailed:
    """What an ended activity call becomes in history; texts as the official extension words them
    (two blanks after the colon)."""
    failure = result.failure
    if failure is None:
        return TaskCompleted(timestamp=now, task_id=task.task_id, result=result.result)
    return TaskFailed(
        timestamp=now,
        task_id=task.task_id,
        reason=f"Activity function '{task.name}' failed:  {failure.type}: {failure.message}",
        details=failure.stack or None,
        failure=failure,
    )


def _opened(lease: Lease, slot: Slot, state: InstanceState, items: Sequence[Item]) -> Turn:
    """A turn that consumes the items and changes nothing yet."""
    consumed: list[str] = []
    taken: list[TaskKey] = []
    ended_timers: list[int] = []
    for item in items:
        if item.message_id:
            consumed.append(item.message_id)
        elif item.task is not None:
            taken.append(item.task)
        elif item.timer is not None:
            ended_timers.append(item.timer)
    return Turn(
        lease=lease,
        token=slot.token,
        state=state,
        consumed=consumed,
        taken=taken,
        ended_timers=ended_timers,
    )


def execution_turn(
    lease: Lease,
    slot: Slot,
    state: InstanceState,
    items: Sequence[Item],
    time: datetime,
    default_version: str | None = None,
    *,
    traced: bool = False,
    long_timers: LongTimers | None = None,
) -> Turn | None:
    """Feed the items to the slot's session and turn its decisions into a `Turn`.

    The session must hold the committed history. Afterwards it is ahead of the store until the turn
    is committed. None: nothing in the items concerns the execution any more, and no code ran.
    """
    session = slot.session
    assert session is not None
    # Completions of tasks that are not open (a second result, a cancelled timer) are not history.
    events: list[HistoryEvent] = [
        item.event
        for item in items
        if not isinstance(item.event, GenericEvent) and (slot.opened or session.expects(item.event))
    ]
    if not events and not slot.extra and not slot.opened:
        return None
    if not slot.opened:
        events.insert(0, OrchestratorStarted(timestamp=time))
    session.feed([*slot.opened, *events], played=False)
    decisions = [*slot.extra, *session.take_decisions()]
    slot.extra = ()
    slot.opened = ()

    turn = _opened(lease, slot, state, items)
    status = RuntimeStatus.SUSPENDED if session.is_suspended else RuntimeStatus.RUNNING
    # A status stays until the code sets another, also over continue-as-new and a rewind.
    custom_status = session.custom_status or state.custom_status
    turn.state = replace(state, status=status, custom_status=custom_status, last_updated_at=time)
    effects = Effects(turn, events, time, default_version, traced=traced, long_timers=long_timers)
    effects.apply(decisions)
    if effects.continued is not None:
        _continue(turn, session, effects.continued, time, long_timers)
        return turn
    events.append(OrchestratorCompleted(timestamp=time))
    turn.events = events
    return turn


def _continue(
    turn: Turn,
    session: Session,
    asked: ContinueAsNew,
    time: datetime,
    long_timers: LongTimers | None,
) -> None:
    """Make the turn the end of this generation and the opening of the next.

    The new history begins as a turn that has not been run; a message to itself has it run. What
    the code has not consumed comes before anything that arrives later.
    """
    state = turn.state
    execution_id = derived_id(state.execution_id, "next")
    started = ExecutionStarted(
        timestamp=time,
        name=state.name,
        execution_id=execution_id,
        input=encode_start_input(asked.input),
        version=state.version,
        parent=state.parent,
        tags=state.tags,
        trace=state.trace,
        long_timers=long_timers,
    )
    turn.replaces_history = True
    turn.events = [OrchestratorStarted(timestamp=time), started, *session.undelivered()]
    turn.state = replace(
        state, execution_id=execution_id, input=started.input, status=RuntimeStatus.RUNNING
    )
    turn.messages = [*turn.messages, new_generation_wake(turn.state, time)]


def terminating_turn(
    lease: Lease,
    slot: Slot,
    state: InstanceState,
    items: Sequence[Item],
    time: datetime,
    children: Sequence[str] = (),
) -> Turn:
    """End the instance as asked, and `children` with it; user code is neither run nor told."""
    reason: str | None = None
    history: list[HistoryEvent] = [OrchestratorStarted(timestamp=time)]
    for item in items:
        history.append(item.event)
        if isinstance(item.event, ExecutionTerminated):
            reason = item.event.reason
            break
    turn = _opened(lease, slot, state, items)
    turn.drop_activities = True
    end(turn, history, time, RuntimeStatus.TERMINATED, reason)
    turn.messages = [
        *turn.messages,
        *(_termination(state, child, reason, time) for child in children),
    ]
    history.append(OrchestratorCompleted(timestamp=time))
    turn.events = history
    return turn


CHILD_EVENTS = (SubOrchestrationCreated, SubOrchestrationCompleted, SubOrchestrationFailed)
"""What `open_children` needs of a history."""


def open_children(events: Sequence[HistoryEvent]) -> list[str]:
    """Ids of the sub-orchestrations that history does not know to have ended."""
    ended = {
        event.task_id
        for event in events
        if isinstance(event, SubOrchestrationCompleted | SubOrchestrationFailed)
    }
    return [
        event.instance_id
        for event in events
        if isinstance(event, SubOrchestrationCreated) and event.task_id not in ended
    ]


def _termination(
    state: InstanceState, child_id: str, reason: str | None, time: datetime
) -> Message:
    message_id = f"{state.execution_id}:terminate:{child_id}"
    return Message(
        id=message_id,
        instance_id=child_id,
        sender=state.instance_id,
        event=ExecutionTerminated(
            timestamp=time, message_id=message_id, reason=reason, recursive=True
        ),
    )


def failing_turn(
    lease: Lease,
    slot: Slot,
    state: InstanceState,
    items: Sequence[Item],
    time: datetime,
    failure: FailureDetails,
    *,
    keep_events: bool = True,
) -> Turn:
    """Fail the instance without running user code: it cannot be run, or must not be.

    `keep_events` False leaves the messages' own events out of history (the store refused them).
    """
    turn = _opened(lease, slot, state, items)
    history: list[HistoryEvent] = [OrchestratorStarted(timestamp=time)]
    if keep_events:
        history.extend(item.event for item in items)
    else:
        history.extend(item.event for item in items if isinstance(item.event, ExecutionStarted))
    turn.drop_activities = True
    fail(turn, history, time, failure)
    history.append(OrchestratorCompleted(timestamp=time))
    turn.events = history
    return turn

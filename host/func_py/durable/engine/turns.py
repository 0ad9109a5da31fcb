"""One turn of one orchestration: messages and live execution in, a `Turn` to commit out.

Pure: reads no clock and stores nothing; user code runs inside `Session.feed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from func_py.durable.engine.slot import Item, Slot
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionTerminated,
    FailureDetails,
    HistoryEvent,
    InstanceState,
    OrchestratorCompleted,
    OrchestratorStarted,
    RuntimeStatus,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TimerTask,
)
from func_py.durable.replay.decisions import (
    CallEntity,
    CallHttp,
    CancelTimer,
    Complete,
    ContinueAsNew,
    CreateTimer,
    Decision,
    Fail,
    ScheduleActivity,
    SignalEntity,
    StartChild,
)
from func_py.durable.storage.base import Lease, Turn

UNSUPPORTED = {
    StartChild: "call_sub_orchestrator",
    CallEntity: "call_entity",
    SignalEntity: "signal_entity",
    CallHttp: "call_http",
    ContinueAsNew: "continue_as_new",
}
"""Decisions that this version does not carry out, by the call that makes them."""


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
    return Turn(
        lease=lease,
        token=slot.token,
        state=state,
        consumed=[item.message_id for item in items if item.message_id],
        taken=[item.task for item in items if item.task is not None],
        ended_timers=[item.timer for item in items if item.timer is not None],
    )


def _ended(
    state: InstanceState,
    time: datetime,
    status: RuntimeStatus,
    output: str | None,
    failure: FailureDetails | None = None,
) -> InstanceState:
    return replace(
        state,
        status=status,
        output=output,
        failure=failure,
        completed_at=time,
        last_updated_at=time,
    )


def execution_turn(
    lease: Lease, slot: Slot, state: InstanceState, items: Sequence[Item], time: datetime
) -> Turn | None:
    """Feed the items to the slot's session and turn its decisions into a `Turn`.

    The session must hold the committed history. Afterwards it is ahead of the store until the turn
    is committed. None: nothing in the items concerns the execution any more, and no code ran.
    """
    session = slot.session
    assert session is not None
    # Completions of tasks that are not open (a second result, a cancelled timer) are not history.
    events = [item.event for item in items if session.expects(item.event)]
    if not events and not slot.extra:
        return None
    started = OrchestratorStarted(timestamp=time)
    session.feed([started, *events], played=False)
    decisions = [*slot.extra, *session.take_decisions()]
    slot.extra = ()

    turn = _opened(lease, slot, state, items)
    status = RuntimeStatus.SUSPENDED if session.is_suspended else RuntimeStatus.RUNNING
    turn.state = replace(
        state, status=status, custom_status=session.custom_status, last_updated_at=time
    )
    history: list[HistoryEvent] = [started, *events]
    _apply(turn, decisions, history, time)
    history.append(OrchestratorCompleted(timestamp=time))
    turn.events = history
    return turn


def _apply(
    turn: Turn, decisions: Sequence[Decision], history: list[HistoryEvent], time: datetime
) -> None:
    state = turn.state
    activities: list[ActivityTask] = []
    timers: list[TimerTask] = []
    cancelled: list[int] = []
    instance_id, execution_id = state.instance_id, state.execution_id
    for decision in decisions:
        match decision:
            case ScheduleActivity(task_id=task_id, name=name, input=text):
                history.append(
                    TaskScheduled(timestamp=time, task_id=task_id, name=name, input=text)
                )
                activities.append(
                    ActivityTask(
                        instance_id=instance_id,
                        execution_id=execution_id,
                        task_id=task_id,
                        name=name,
                        input=text,
                        trace=state.trace,
                    )
                )
            case CreateTimer(task_id=task_id, fire_at=fire_at):
                history.append(TimerCreated(timestamp=time, task_id=task_id, fire_at=fire_at))
                timers.append(
                    TimerTask(
                        instance_id=instance_id,
                        execution_id=execution_id,
                        task_id=task_id,
                        fire_at=fire_at,
                    )
                )
            case CancelTimer(task_id=task_id):
                cancelled.append(task_id)
            case Complete(output=output):
                turn.state = _ended(turn.state, time, RuntimeStatus.COMPLETED, output)
                history.append(
                    ExecutionCompleted(
                        timestamp=time, status=RuntimeStatus.COMPLETED, result=output
                    )
                )
            case Fail(failure=failure):
                _fail(turn, history, time, failure)
            case StartChild() | CallEntity() | SignalEntity() | CallHttp() | ContinueAsNew():
                _fail(turn, history, time, _unsupported(decision))
                break
            case _:
                assert_never(decision)
    if turn.state.status.is_terminal:
        # Timers end with the execution; activities already asked for still run.
        timers = []
    if cancelled:
        gone = set(cancelled)
        turn.ended_timers = [*turn.ended_timers, *cancelled]
        timers = [timer for timer in timers if timer.task_id not in gone]
    turn.activities = activities
    turn.timers = timers


def _unsupported(decision: Decision) -> FailureDetails:
    call = UNSUPPORTED[type(decision)]
    return FailureDetails(
        type="NotSupportedError",
        message=f"'{call}' is not supported by this version of func-py yet.",
    )


def failure_text(name: str, failure: FailureDetails) -> str:
    """The output of a failed orchestration, as the official extension words it."""
    return f"Orchestrator function '{name}' failed: {failure.message}"


def _fail(turn: Turn, history: list[HistoryEvent], time: datetime, failure: FailureDetails) -> None:
    text = failure_text(turn.state.name, failure)
    turn.state = _ended(turn.state, time, RuntimeStatus.FAILED, text, failure)
    history.append(
        ExecutionCompleted(
            timestamp=time, status=RuntimeStatus.FAILED, result=text, failure=failure
        )
    )


def terminating_turn(
    lease: Lease, slot: Slot, state: InstanceState, items: Sequence[Item], time: datetime
) -> Turn:
    """End the instance as asked; user code is neither run nor told."""
    reason: str | None = None
    history: list[HistoryEvent] = [OrchestratorStarted(timestamp=time)]
    for item in items:
        history.append(item.event)
        if isinstance(item.event, ExecutionTerminated):
            reason = item.event.reason
            break
    turn = _opened(lease, slot, state, items)
    turn.state = _ended(state, time, RuntimeStatus.TERMINATED, reason)
    turn.drop_activities = True
    history.append(
        ExecutionCompleted(timestamp=time, status=RuntimeStatus.TERMINATED, result=reason)
    )
    history.append(OrchestratorCompleted(timestamp=time))
    turn.events = history
    return turn


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
    turn.state = state
    turn.drop_activities = True
    _fail(turn, history, time, failure)
    history.append(OrchestratorCompleted(timestamp=time))
    turn.events = history
    return turn

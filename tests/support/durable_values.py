"""Builds the values of the durable model for tests; what a test does not say has a plain value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from func_py.durable.model import (
    ActivityTask,
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    TaskScheduled,
    TimerTask,
    new_id,
    pending_state,
)
from func_py.durable.storage.base import Lease, TaskKey, Token, Turn

NOON = datetime(2030, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A time that many seconds after NOON."""
    return NOON + timedelta(seconds=seconds)


def make_start(
    instance_id: str, *, created_at: datetime = NOON, input: str | None = '"in"'
) -> tuple[InstanceState, Message]:
    """A new instance and its start message."""
    message = start_message(instance_id, created_at=created_at, input=input)
    assert isinstance(message.event, ExecutionStarted)
    return pending_state(instance_id, message.event), message


def start_message(
    instance_id: str, *, created_at: datetime = NOON, input: str | None = '"in"'
) -> Message:
    """The start message of a new execution."""
    event = ExecutionStarted(timestamp=created_at, name="Greet", execution_id=new_id(), input=input)
    return Message(
        id=new_id(), instance_id=instance_id, event=event, execution_id=event.execution_id
    )


def raised(instance_id: str, name: str = "go", *, id: str = "", input: str = "1") -> Message:
    """An external event for an instance."""
    event = EventRaised(timestamp=NOON, name=name, input=input)
    return Message(id=id or new_id(), instance_id=instance_id, event=event)


def scheduled(count: int, first: int = 0) -> list[HistoryEvent]:
    """Some history events, told apart by their task ids."""
    return [
        TaskScheduled(timestamp=NOON, task_id=first + number, name="Say", input='"x"')
        for number in range(count)
    ]


def large_events(size: int, count: int = 40) -> list[HistoryEvent]:
    """History events that together are at least of that size as they are stored."""
    text = '"' + "x" * (size // count) + '"'
    return [
        TaskScheduled(timestamp=NOON, task_id=number, name="Say", input=text)
        for number in range(count)
    ]


def activity(state: InstanceState, task_id: int) -> ActivityTask:
    """An activity call of the instance."""
    return ActivityTask(
        instance_id=state.instance_id,
        execution_id=state.execution_id,
        task_id=task_id,
        name="Say",
        input='"x"',
    )


def timer(state: InstanceState, task_id: int, fire_at: datetime) -> TimerTask:
    """A durable timer of the instance."""
    return TimerTask(
        instance_id=state.instance_id,
        execution_id=state.execution_id,
        task_id=task_id,
        fire_at=fire_at,
    )


def task_key(task: ActivityTask) -> TaskKey:
    """The key of an activity call."""
    return TaskKey(task.instance_id, task.execution_id, task.task_id)


def make_turn(
    lease: Lease,
    token: Token,
    state: InstanceState,
    *,
    status: RuntimeStatus = RuntimeStatus.RUNNING,
    events: Sequence[HistoryEvent] = (),
    consumed: Sequence[str] = (),
    taken: Sequence[TaskKey] = (),
    activities: Sequence[ActivityTask] = (),
    timers: Sequence[TimerTask] = (),
    ended_timers: Sequence[int] = (),
    messages: Sequence[Message] = (),
    replaces_history: bool = False,
    drop_activities: bool = False,
    output: str | None = None,
) -> Turn:
    """A turn that leaves the instance in `status`."""
    return Turn(
        lease=lease,
        token=token,
        state=replace(state, status=status, last_updated_at=at(1), output=output or state.output),
        events=events,
        consumed=consumed,
        taken=taken,
        activities=activities,
        timers=timers,
        ended_timers=ended_timers,
        messages=messages,
        replaces_history=replaces_history,
        drop_activities=drop_activities,
    )

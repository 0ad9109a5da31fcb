"""Compare what history records with what the code asked for, and say both in words."""

from __future__ import annotations

from typing import assert_never

from func_py.durable.model import (
    EntityRequest,
    EventSent,
    ExecutionCompleted,
    RuntimeStatus,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    decode_request,
)
from func_py.durable.replay.decisions import (
    HTTP_ACTIVITY_NAME,
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

SchedulingEvent = TaskScheduled | TimerCreated | SubOrchestrationCreated | EventSent


def entity_request(event: EventSent) -> EntityRequest:
    """The request that an EventSent carries; an empty one when it carries something else."""
    return decode_request(event.input) or EntityRequest()


def is_match(decision: Decision, event: SchedulingEvent) -> bool:
    """Whether this decision can have led to this event: kind, name (ignoring case) and target."""
    match decision, event:
        case (ScheduleActivity(), TaskScheduled()):
            return _is_same(decision.name, event.name)
        case (CallHttp(), TaskScheduled()):
            return _is_same(HTTP_ACTIVITY_NAME, event.name)
        case (CreateTimer(), TimerCreated()):
            return True
        case (StartChild(), SubOrchestrationCreated()):
            target = (decision.instance_id or "").strip()
            return _is_same(decision.name, event.name) and target in ("", event.instance_id.strip())
        case (CallEntity() | SignalEntity(), EventSent()):
            if decision.instance_id != event.instance_id:
                return False
            request = entity_request(event)
            if not request.operation:
                return True
            if request.is_signal != isinstance(decision, SignalEntity):
                return False
            return _is_same(decision.operation, request.operation)
        case _:
            return False


def is_end_match(decision: Decision | None, event: ExecutionCompleted) -> bool:
    """Whether the code ended the way that history records."""
    match event.status:
        case RuntimeStatus.COMPLETED:
            return isinstance(decision, Complete)
        case RuntimeStatus.FAILED:
            return isinstance(decision, Fail)
        case RuntimeStatus.CONTINUED_AS_NEW:
            return isinstance(decision, ContinueAsNew)
        case _:
            return True  # terminated from outside: the code may stand anywhere


def describe_event(event: SchedulingEvent | ExecutionCompleted) -> str:
    """An event of history in words, as the expected side of a mismatch."""
    match event:
        case TaskScheduled():
            if _is_same(event.name, HTTP_ACTIVITY_NAME):
                return f"HTTP call (#{event.task_id})"
            return f"activity '{event.name}' (#{event.task_id})"
        case TimerCreated():
            return f"timer (#{event.task_id})"
        case SubOrchestrationCreated():
            return _child(event.task_id, event.name, event.instance_id)
        case EventSent():
            request = entity_request(event)
            kind = "signal" if request.is_signal else "call"
            return f"{kind} '{request.operation}' to '{event.instance_id}' (#{event.task_id})"
        case ExecutionCompleted():
            return f"the end as {event.status.value}"
        case _:
            assert_never(event)


def describe(decision: Decision) -> str:
    """A decision in words, as the other side."""
    match decision:
        case ScheduleActivity():
            return f"activity '{decision.name}' (#{decision.task_id})"
        case CreateTimer():
            return f"timer (#{decision.task_id})"
        case CancelTimer():
            return f"the end of timer #{decision.task_id}"
        case StartChild():
            return _child(decision.task_id, decision.name, decision.instance_id)
        case CallEntity():
            return f"call '{decision.operation}' to '{decision.instance_id}' (#{decision.task_id})"
        case SignalEntity():
            return (
                f"signal '{decision.operation}' to '{decision.instance_id}' (#{decision.task_id})"
            )
        case CallHttp():
            return f"HTTP call (#{decision.task_id})"
        case Complete():
            return "the end as Completed"
        case Fail():
            return f"the end as Failed ({decision.failure.type}: {decision.failure.message})"
        case ContinueAsNew():
            return "the end as ContinuedAsNew"
        case _:
            assert_never(decision)


def _child(task_id: int, name: str, instance_id: str | None) -> str:
    as_instance = f" as instance '{instance_id}'" if instance_id else ""
    return f"sub-orchestration '{name}'{as_instance} (#{task_id})"


def _is_same(one: str, other: str) -> bool:
    return one == other or one.casefold() == other.casefold()

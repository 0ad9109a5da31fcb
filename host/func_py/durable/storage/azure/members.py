"""History events as DurableTask names their members, the same for messages and for table rows.

A member's value is a string, number, bool, datetime, None, or an object (dict with `$type` first).
What an event of ours has beyond the members of its class goes into members of our own, which other
readers ignore.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from func_py.durable.model import (
    REQUEST_EVENT,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    HistoryEvent,
    LongTimers,
    OrchestratorCompleted,
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
    TraceContext,
)

Members = Mapping[str, Any]
"""Member name → value."""

OBJECTS = frozenset(
    {"OrchestrationInstance", "ParentInstance", "Tags", "ParentTraceContext", "FailureDetails"}
)
"""Members whose values are objects (`State` of a HistoryState is never read)."""

DATES = frozenset({"ScheduledStartTime", "FireAt"})

EVENT_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            *("ExecutionStarted", "ExecutionCompleted", "ExecutionFailed", "ExecutionTerminated"),
            *("TaskScheduled", "TaskCompleted", "TaskFailed"),
            "SubOrchestrationInstanceCreated",
            "SubOrchestrationInstanceCompleted",
            "SubOrchestrationInstanceFailed",
            *("TimerCreated", "TimerFired", "OrchestratorStarted", "OrchestratorCompleted"),
            *("EventSent", "EventRaised", "ContinueAsNew", "GenericEvent", "HistoryState"),
            *("ExecutionSuspended", "ExecutionResumed", "ExecutionRewound"),
        )
    )
}
"""The wire numbers of the event types."""

_FIRE_AND_FORGET = "FireAndForget"
"""Tag of an orchestration whose parent, or the entity that started it, does not wait for its end.
Its own children do not inherit it."""

LONG_TIMERS = LongTimers(longest=timedelta(days=6), interval=timedelta(days=3))
"""How the official host cuts timers, and so all executions that begin on such a hub."""

_WHOLE_TIMERS = "FuncPyWholeTimers"
"""True of an execution that began on a hub of another kind."""

EVENT_NAMES = {number: name for name, number in EVENT_NUMBERS.items()}


class UnknownEvent(ValueError):
    """An event of a type that has no meaning here."""


def event_type(event: HistoryEvent) -> str:
    """The name of its type: the tag of our struct is DurableTask's name."""
    return str(type(event).__struct_config__.tag)


def scheduled_id(event: HistoryEvent) -> int | None:
    """The number of the action that made this event, None for what came from elsewhere."""
    match event:
        case (
            TaskScheduled(task_id=task_id)
            | SubOrchestrationCreated(task_id=task_id)
            | TimerCreated(task_id=task_id)
            | EventSent(task_id=task_id)
        ):
            return task_id
        case _:
            return None


def members_of(event: HistoryEvent, instance_id: str) -> dict[str, Any]:
    """The members of an event beyond those that all have; `instance_id`: whose history it is."""
    match event:
        case OrchestratorStarted() | OrchestratorCompleted():
            return {}
        case ExecutionStarted():
            return _started(event, instance_id)
        case ExecutionCompleted():
            return {
                "OrchestrationStatus": event.status.value,
                "Result": event.result,
                "FailureDetails": failure_object(event.failure),
            }
        case ExecutionTerminated():
            return {"Input": event.reason} | ({"Recursive": True} if event.recursive else {})
        case ExecutionSuspended() | ExecutionResumed():
            return {"Reason": event.reason}
        case ExecutionRewound():
            parent = event.parent
            found: dict[str, Any] = {
                "Reason": event.reason,
                "ParentExecutionId": parent.execution_id if parent else None,
                "InstanceId": instance_id,
                "ParentTraceContext": None,
            }
            return found | ({"ParentInstance": _parent_object(parent)} if parent else {})
        case TaskScheduled():
            return {
                "Name": event.name,
                "Version": "",
                "Input": wrapped(event.input),
                "ParentTraceContext": None,
                "Tags": None,
            }
        case TaskCompleted() | SubOrchestrationCompleted():
            return {"TaskScheduledId": event.task_id, "Result": event.result}
        case TaskFailed() | SubOrchestrationFailed():
            return {
                "TaskScheduledId": event.task_id,
                "Reason": event.reason,
                "Details": event.details,
                "FailureDetails": failure_object(event.failure),
            }
        case SubOrchestrationCreated():
            return {
                "Name": event.name,
                "Version": event.version or "",
                "InstanceId": event.instance_id,
                "Input": event.input,
                "ClientSpanId": None,
                "Tags": None,
            }
        case TimerCreated():
            return {"FireAt": event.fire_at}
        case TimerFired():
            return {"TimerId": event.task_id, "FireAt": event.fire_at}
        case EventSent():
            return {"InstanceId": event.instance_id, "Name": event.name, "Input": event.input}
        case EventRaised():
            return {"Name": event.name, "Input": event.input, "ParentTraceContext": None}
        case GenericEvent():
            return {"Data": ""}
        case _:
            assert_never(event)


def _started(event: ExecutionStarted, instance_id: str) -> dict[str, Any]:
    return {
        "OrchestrationInstance": instance_object(instance_id, event.execution_id),
        "ParentInstance": _parent_object(event.parent) if event.parent else None,
        "Name": event.name,
        "Version": event.version or "",
        "Input": event.input,
        "Tags": event.tags,
        "Correlation": None,
        "ParentTraceContext": trace_object(event.trace),
        "ScheduledStartTime": None,
        "Generation": None if event.parent else 0,
        "GenerateNewTrace": False,
    } | ({} if event.long_timers else {_WHOLE_TIMERS: True})


def event_of(name: str, event_id: int, common: Mapping[str, Any], found: Members) -> HistoryEvent:
    """Read back an event; foreign ones as well.

    Args:
        name: Its type.
        event_id: Its `EventId`.
        common: Arguments that all events take: `timestamp`, `message_id`.
        found: Its members; those it lacks have their default.

    Raises:
        UnknownEvent: There is no such type, or it means nothing here.
    """
    text = found.get
    match name:
        case "OrchestratorStarted":
            return OrchestratorStarted(**common)
        case "OrchestratorCompleted":
            return OrchestratorCompleted(**common)
        case "ExecutionStarted":
            instance = text("OrchestrationInstance") or {}
            tags = tags_of(text("Tags")) or {}
            nobody_waits = tags.pop(_FIRE_AND_FORGET, None) is not None
            return ExecutionStarted(
                **common,
                name=text("Name") or "",
                execution_id=instance.get("ExecutionId") or "",
                input=text("Input"),
                version=text("Version") or None,
                parent=None if nobody_waits else _parent_of(text("ParentInstance")),
                tags=tags or None,
                trace=trace_of(text("ParentTraceContext")),
                long_timers=None if text(_WHOLE_TIMERS) else LONG_TIMERS,
            )
        case "ExecutionCompleted" | "ContinueAsNew" | "ExecutionFailed":
            return ExecutionCompleted(
                **common,
                status=status_of(text("OrchestrationStatus")),
                result=text("Result"),
                failure=failure_of(text("FailureDetails")),
            )
        case "ExecutionTerminated":
            return ExecutionTerminated(
                **common, reason=text("Input"), recursive=bool(text("Recursive"))
            )
        case "ExecutionSuspended":
            return ExecutionSuspended(**common, reason=text("Reason"))
        case "ExecutionResumed":
            return ExecutionResumed(**common, reason=text("Reason"))
        case "ExecutionRewound":
            return ExecutionRewound(
                **common, reason=text("Reason"), parent=_parent_of(text("ParentInstance"))
            )
        case "TaskScheduled":
            return TaskScheduled(
                **common,
                task_id=event_id,
                name=text("Name") or "",
                input=unwrapped(text("Input")),
            )
        case "TaskCompleted":
            return TaskCompleted(**common, task_id=_number(found), result=text("Result"))
        case "SubOrchestrationInstanceCompleted":
            return SubOrchestrationCompleted(
                **common, task_id=_number(found), result=text("Result")
            )
        case "TaskFailed":
            return TaskFailed(**common, **_failed(found))
        case "SubOrchestrationInstanceFailed":
            return SubOrchestrationFailed(**common, **_failed(found))
        case "SubOrchestrationInstanceCreated":
            return SubOrchestrationCreated(
                **common,
                task_id=event_id,
                name=text("Name") or "",
                instance_id=text("InstanceId") or "",
                input=text("Input"),
                version=text("Version") or None,
            )
        case "TimerCreated":
            return TimerCreated(**common, task_id=event_id, fire_at=found["FireAt"])
        case "TimerFired":
            return TimerFired(**common, task_id=int(found["TimerId"]), fire_at=found["FireAt"])
        case "EventSent":
            return EventSent(
                **common,
                task_id=event_id,
                instance_id=text("InstanceId") or "",
                name=text("Name") or "",
                input=text("Input"),
            )
        case "EventRaised":
            return EventRaised(**common, name=_raised_name(found), input=text("Input"))
        case "GenericEvent" | "HistoryState":
            return GenericEvent(**common)
        case _:
            raise UnknownEvent(f"an event of type '{name}'")


def _failed(found: Members) -> dict[str, Any]:
    return {
        "task_id": _number(found),
        "reason": found.get("Reason") or "",
        "details": found.get("Details"),
        "failure": failure_of(found.get("FailureDetails")),
    }


def _number(found: Members) -> int:
    return int(found["TaskScheduledId"])


def _raised_name(found: Members) -> str:
    name = str(found.get("Name") or "")
    return name if due_time(name) is None else REQUEST_EVENT


def due_time(name: str) -> datetime | None:
    """When an event may be delivered at the earliest: `op@<time>` is a request to an entity."""
    event, _, time = name.partition("@")
    try:
        return read_time(time) if event == REQUEST_EVENT and time else None
    except ValueError:
        return None


def status_of(name: object) -> RuntimeStatus:
    """The status of this name; Running for one that is not known."""
    try:
        return RuntimeStatus(str(name))
    except ValueError:
        return RuntimeStatus.RUNNING


# ---- values inside of members --------------------------------------------------------------


def wrapped(text: str | None) -> str:
    """The input of an activity, as the official extension stores it: an array of one element."""
    return f"[{text if text is not None else 'null'}]"


def unwrapped(text: str | None) -> str | None:
    """Read back an activity's input; what is no array of one element is left as it is."""
    if not text or text == "[null]":
        return None
    try:
        array = json.loads(text)
    except ValueError:
        return text
    if not isinstance(array, list) or len(array) != 1:
        return text
    # The text between the brackets, so that the value passes through as it was written.
    return text.strip()[1:-1]


def instance_object(instance_id: str, execution_id: str | None) -> dict[str, Any]:
    """An OrchestrationInstance."""
    return {
        "$type": "DurableTask.Core.OrchestrationInstance",
        "InstanceId": instance_id,
        "ExecutionId": execution_id or None,
    }


def _parent_object(parent: ParentLink) -> dict[str, Any]:
    return {
        "$type": "DurableTask.Core.ParentInstance",
        "Name": parent.name,
        "OrchestrationInstance": instance_object(parent.instance_id, parent.execution_id),
        "TaskScheduleId": parent.task_id,
        "Version": "",
    }


def _parent_of(found: Members | None) -> ParentLink | None:
    instance = (found or {}).get("OrchestrationInstance")
    if not found or not instance:
        return None
    return ParentLink(
        instance_id=instance.get("InstanceId") or "",
        execution_id=instance.get("ExecutionId") or "",
        name=found.get("Name") or "",
        task_id=int(found.get("TaskScheduleId") or 0),
    )


def failure_object(failure: FailureDetails | None) -> dict[str, Any] | None:
    """A FailureDetails."""
    if failure is None:
        return None
    return {
        "$type": "DurableTask.Core.FailureDetails",
        "ErrorType": failure.type,
        "ErrorMessage": failure.message,
        "StackTrace": failure.stack or None,
        "InnerFailure": failure_object(failure.inner),
        "IsNonRetriable": False,
    }


def failure_of(found: Members | None) -> FailureDetails | None:
    """Read back a FailureDetails."""
    if not found:
        return None
    return FailureDetails(
        type=found.get("ErrorType") or "",
        message=found.get("ErrorMessage") or "",
        stack=found.get("StackTrace") or "",
        inner=failure_of(found.get("InnerFailure")),
    )


def trace_object(trace: TraceContext | None) -> dict[str, Any] | None:
    """A DistributedTraceContext."""
    if trace is None:
        return None
    return {
        "$type": "DurableTask.Core.Tracing.DistributedTraceContext",
        "TraceParent": trace.trace_parent,
        "TraceState": trace.trace_state or None,
    }


def trace_of(found: Members | None) -> TraceContext | None:
    if not found or not found.get("TraceParent"):
        return None
    return TraceContext(
        trace_parent=found["TraceParent"], trace_state=found.get("TraceState") or ""
    )


def tags_of(found: Members | None) -> dict[str, str] | None:
    """Tags as text to text; .NET adds a `$type`."""
    tags = {str(k): str(v) for k, v in (found or {}).items() if k != "$type"}
    return tags or None


def time_text(time: datetime) -> str:
    """A time as .NET writes it: ISO 8601, UTC, without trailing zeros."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{time.microsecond:06d}".rstrip("0") if time.microsecond else "") + "Z"


def read_time(text: str) -> datetime:
    """A time as .NET writes it; what is finer than microseconds is cut off."""
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)

"""The SDK's history event, made from ours without text and without a date parser."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_never

from azure.durable_functions.models.history import HistoryEventType as Kind
from azure.durable_functions.models.history.HistoryEvent import HistoryEvent as SdkHistoryEvent

from func_py.durable.model import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)


class SdkEvent(SdkHistoryEvent):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's history event, made with the datetime we hold: no text, no date parser."""

    # What the SDK's constructor sets to None, once for all events.
    Name: str | None = None
    InstanceId = Reason = Details = Input = Version = None
    TaskScheduledId: int | None = None
    Result: str | None = None

    def __init__(
        self, kind: Kind, timestamp: datetime, played: bool, event_id: int, members: dict[str, Any]
    ) -> None:
        self._event_type = kind
        self._event_id = event_id
        self._is_played = played
        self._timestamp = timestamp
        self._is_processed = False
        self.__dict__.update(members)


def sdk_event(event: HistoryEvent, played: bool) -> SdkEvent:
    """Translate one event; its members are those of the wire protocol that the SDK sets."""
    kind, event_id, members = _translate(event)
    return SdkEvent(kind, event.timestamp, played, event_id, members)


def _translate(event: HistoryEvent) -> tuple[Kind, int, dict[str, Any]]:
    match event:
        case TaskCompleted():
            members = {"TaskScheduledId": event.task_id, "Result": event.result}
            return Kind.TASK_COMPLETED, -1, members
        case OrchestratorStarted():
            return Kind.ORCHESTRATOR_STARTED, -1, {}
        case TimerFired():
            return Kind.TIMER_FIRED, -1, {"TimerId": event.task_id, "FireAt": event.fire_at}
        case EventRaised():
            return Kind.EVENT_RAISED, -1, {"Name": event.name, "Input": event.input}
        case TaskFailed():
            return Kind.TASK_FAILED, -1, _failure(event)
        case SubOrchestrationFailed():
            return Kind.SUB_ORCHESTRATION_INSTANCE_FAILED, -1, _failure(event)
        case SubOrchestrationCompleted():
            members = {"TaskScheduledId": event.task_id, "Result": event.result}
            return Kind.SUB_ORCHESTRATION_INSTANCE_COMPLETED, -1, members
        case ExecutionStarted():
            members = {"Name": event.name, "Version": event.version, "Input": event.input}
            return Kind.EXECUTION_STARTED, -1, members
        case TaskScheduled():
            members = {"Name": event.name, "Input": event.input}
            return Kind.TASK_SCHEDULED, event.task_id, members
        case TimerCreated():
            return Kind.TIMER_CREATED, event.task_id, {"FireAt": event.fire_at}
        case SubOrchestrationCreated():
            members = {
                "Name": event.name,
                "InstanceId": event.instance_id,
                "Input": event.input,
                "Version": event.version,
            }
            return Kind.SUB_ORCHESTRATION_INSTANCE_CREATED, event.task_id, members
        case EventSent():
            members = {"Name": event.name, "InstanceId": event.instance_id, "Input": event.input}
            return Kind.EVENT_SENT, event.task_id, members
        case OrchestratorCompleted():
            return Kind.ORCHESTRATOR_COMPLETED, -1, {}
        case ExecutionSuspended():
            return Kind.EXECUTION_SUSPENDED, -1, {"Reason": event.reason}
        case ExecutionResumed():
            return Kind.EXECUTION_RESUMED, -1, {"Reason": event.reason}
        case ExecutionTerminated():
            return Kind.EXECUTION_TERMINATED, -1, {"Input": event.reason}
        case ExecutionCompleted():
            members = {"OrchestrationStatus": event.status.value, "Result": event.result}
            return Kind.EXECUTION_COMPLETED, -1, members
        case GenericEvent() | ExecutionRewound():
            return Kind.GENERIC_EVENT, -1, {}
        case _:
            assert_never(event)


def _failure(event: TaskFailed | SubOrchestrationFailed) -> dict[str, Any]:
    return {"TaskScheduledId": event.task_id, "Reason": event.reason, "Details": event.details}

"""The JSON shapes of the management API: status objects, entities, the history projection.

Source: the official extension's HTTP API. Stored texts are shown parsed when they are JSON, as a
JSON string otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from func_py.durable.model import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    InstanceState,
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
    split_entity_id,
)

JsonObject = dict[str, Any]


def shown(text: str | None) -> Any:
    """A stored text as a JSON value: parsed, or the text itself when it is not JSON."""
    if text is None or text == "":
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def seconds(time: datetime) -> str:
    """Timestamps of status objects: second precision, truncated."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(time: datetime) -> str:
    """Timestamps of history entries: seven fraction digits."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def status_object(state: InstanceState, *, show_input: bool = True) -> JsonObject:
    """One instance as the API shows it; `historyEvents` is added by the caller."""
    return {
        "name": state.name,
        "instanceId": state.instance_id,
        "runtimeStatus": state.status.value,
        "input": shown(state.input) if show_input else None,
        "customStatus": shown(state.custom_status),
        "output": shown(state.output),
        "createdTime": seconds(state.created_at),
        "lastUpdatedTime": seconds(state.last_updated_at),
    }


def entity_object(state: InstanceState, *, with_state: bool) -> JsonObject:
    """One entity as a list shows it; `state` is null unless it was asked for."""
    name, key = split_entity_id(state.instance_id) or ("", "")
    text = state.entity.state if with_state and state.entity is not None else None
    return {
        "entityId": {"name": name, "key": key},
        "lastOperationTime": precise(state.last_updated_at),
        "state": shown(text),
    }


def history_entries(
    events: Sequence[HistoryEvent], *, show_input: bool, show_output: bool
) -> list[JsonObject]:
    """The history as the API shows it.

    Turn brackets are left out; a scheduling event is merged into its completion, which gains
    `ScheduledTime`, `FunctionName` and (with `show_input`) `Input`. Results are shown with
    `show_output` only.
    """
    finished = {
        event.task_id
        for event in events
        if isinstance(
            event,
            TaskCompleted | TaskFailed | SubOrchestrationCompleted | SubOrchestrationFailed,
        )
    }
    scheduled: dict[int, TaskScheduled | SubOrchestrationCreated] = {}
    entries: list[JsonObject] = []
    for event in events:
        if isinstance(event, OrchestratorStarted | OrchestratorCompleted):
            continue
        if isinstance(event, TaskScheduled | SubOrchestrationCreated):
            scheduled[event.task_id] = event
            if event.task_id in finished:
                continue
        entry: JsonObject = {
            "EventType": type(event).__struct_config__.tag,
            "Timestamp": precise(event.timestamp),
        }
        entry.update(_members(event, scheduled, show_input=show_input, show_output=show_output))
        entries.append(entry)
    return entries


def _members(
    event: HistoryEvent,
    scheduled: dict[int, TaskScheduled | SubOrchestrationCreated],
    *,
    show_input: bool,
    show_output: bool,
) -> JsonObject:
    members: JsonObject = {}
    match event:
        case ExecutionStarted():
            members["FunctionName"] = event.name
            if show_input:
                members["Input"] = event.input
        case ExecutionCompleted():
            members["OrchestrationStatus"] = event.status.value
            members["FailureDetails"] = msgspec.to_builtins(event.failure)
            if show_output:
                members["Result"] = shown(event.result)
        case ExecutionTerminated():
            if show_input:
                members["Input"] = event.reason
        case ExecutionSuspended() | ExecutionResumed() | ExecutionRewound():
            members["Reason"] = event.reason
        case TaskScheduled() | SubOrchestrationCreated():
            members["Name"] = event.name
            if show_input:
                members["Input"] = event.input
        case TaskCompleted() | SubOrchestrationCompleted():
            if show_output:
                members["Result"] = shown(event.result)
            members.update(_origin(scheduled.get(event.task_id), show_input=show_input))
        case TaskFailed() | SubOrchestrationFailed():
            members["Reason"] = event.reason
            members["Details"] = event.details
            members["FailureDetails"] = msgspec.to_builtins(event.failure)
            members.update(_origin(scheduled.get(event.task_id), show_input=show_input))
        case TimerCreated() | TimerFired():
            members["FireAt"] = precise(event.fire_at)
        case EventSent():
            members["InstanceId"] = event.instance_id
            members["Name"] = event.name
            if show_input:
                members["Input"] = event.input
        case EventRaised():
            members["Name"] = event.name
            if show_input:
                members["Input"] = event.input
        case _:  # turn brackets never get here
            pass
    return members


def _origin(
    scheduled: TaskScheduled | SubOrchestrationCreated | None, *, show_input: bool
) -> JsonObject:
    if scheduled is None:
        return {}
    origin: JsonObject = {
        "ScheduledTime": precise(scheduled.timestamp),
        "FunctionName": scheduled.name,
    }
    if show_input:
        origin["Input"] = scheduled.input
    return origin

"""The JSON shapes of the management API: status objects, entities, the history projection.

Source: the official extension's HTTP API. Stored texts are shown parsed when they are JSON, as a
JSON string otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from func_py.durable.client import DurableClient
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
from func_py.errors import HistoryChanged

JsonObject = dict[str, Any]

_Completed = TaskCompleted | TaskFailed | SubOrchestrationCompleted | SubOrchestrationFailed


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


class HistoryProjection:
    """The history as the API shows it, made page by page.

    Turn brackets are left out; a scheduling event is merged into its completion, which gains
    `ScheduledTime`, `FunctionName` and (with inputs) `Input`.
    """

    def __init__(self, *, show_input: bool, show_output: bool) -> None:
        self._show_input = show_input
        self._show_output = show_output
        self._scheduled: dict[int, TaskScheduled | SubOrchestrationCreated] = {}
        self._entries: dict[int, JsonObject] = {}
        """By number of the event, from 0."""
        self._places: dict[int, int] = {}
        """Task id to where the entry of its scheduling is, until it is merged."""
        self._count = 0

    def add(self, events: Sequence[HistoryEvent]) -> None:
        """Take the next events; what is not shown of them is not kept."""
        for number, event in enumerate(events, start=self._count):
            if isinstance(event, OrchestratorStarted | OrchestratorCompleted):
                continue
            if isinstance(event, TaskScheduled | SubOrchestrationCreated):
                self._scheduled[event.task_id] = self._kept(event)
                self._places[event.task_id] = number
            elif isinstance(event, _Completed) and event.task_id in self._places:
                del self._entries[self._places.pop(event.task_id)]
            self._entries[number] = self._entry(event)
        self._count += len(events)

    def entries(self) -> list[JsonObject]:
        """All of it, in order."""
        return list(self._entries.values())

    def _kept(
        self, event: TaskScheduled | SubOrchestrationCreated
    ) -> TaskScheduled | SubOrchestrationCreated:
        return event if self._show_input else replace(event, input=None)

    def _entry(self, event: HistoryEvent) -> JsonObject:
        entry: JsonObject = {
            "EventType": type(event).__struct_config__.tag,
            "Timestamp": precise(event.timestamp),
        }
        members = _members(
            event,
            self._scheduled,
            show_input=self._show_input,
            show_output=self._show_output,
        )
        entry.update(members)
        return entry


async def shown_history(
    client: DurableClient, instance_id: str, *, show_input: bool, show_output: bool
) -> list[JsonObject]:
    """The history of an instance as the API shows it."""
    while True:
        projection = HistoryProjection(show_input=show_input, show_output=show_output)
        try:
            async for events in client.history_pages(instance_id):
                projection.add(events)
        except HistoryChanged:
            continue
        return projection.entries()


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
            members.update(_origin(scheduled.pop(event.task_id, None), show_input=show_input))
        case TaskFailed() | SubOrchestrationFailed():
            members["Reason"] = event.reason
            members["Details"] = event.details
            members["FailureDetails"] = msgspec.to_builtins(event.failure)
            members.update(_origin(scheduled.pop(event.task_id, None), show_input=show_input))
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

"""The SDK's own handler as the reference, fed JSON text with full replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from azure.durable_functions.orchestrator import Orchestrator

from func_py.durable.model import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
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

_MARKER = "\n\n$OutOfProcData$:"
_WAIT = 6
_COMPOUND = (11, 12)
_START_OVER = 4


def wire(event: HistoryEvent) -> dict[str, Any]:
    """An event as the extension sends it to the SDK."""
    members: dict[str, Any]
    match event:
        case ExecutionStarted():
            number, members = 0, {"Name": event.name, "Version": event.version}
        case TaskScheduled():
            number, members = 4, {"Name": event.name, "Input": event.input}
        case TaskCompleted():
            number, members = 5, {"TaskScheduledId": event.task_id, "Result": event.result}
        case TaskFailed():
            number, members = 6, _failure(event)
        case SubOrchestrationCreated():
            number, members = 7, {"Name": event.name, "InstanceId": event.instance_id}
        case SubOrchestrationCompleted():
            number, members = 8, {"TaskScheduledId": event.task_id, "Result": event.result}
        case SubOrchestrationFailed():
            number, members = 9, _failure(event)
        case TimerCreated():
            number, members = 10, {"FireAt": _text(event.fire_at)}
        case TimerFired():
            number, members = 11, {"TimerId": event.task_id, "FireAt": _text(event.fire_at)}
        case OrchestratorStarted():
            number, members = 12, {}
        case OrchestratorCompleted():
            number, members = 13, {}
        case EventSent():
            number, members = 14, {"InstanceId": event.instance_id, "Input": event.input}
        case EventRaised():
            number, members = 15, {"Name": event.name, "Input": event.input}
        case _:
            raise AssertionError(f"{event} is not for the SDK")
    return {
        "EventType": number,
        "EventId": getattr(event, "task_id", -1) if number in (4, 7, 10, 14) else -1,
        "IsPlayed": False,
        "Timestamp": _text(event.timestamp),
        **members,
    }


def _failure(event: TaskFailed | SubOrchestrationFailed) -> dict[str, Any]:
    return {"TaskScheduledId": event.task_id, "Reason": event.reason, "Details": event.details}


def _text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


class State:
    """What the handler answered: the state object, or the text of what it raised without one."""

    def __init__(self, answer: dict[str, Any], error: str | None) -> None:
        actions = _flat(answer.get("actions", [[]])[0])
        self.requests = [each for each in actions if each["actionType"] != _START_OVER]
        starts = [each["input"] for each in actions if each["actionType"] == _START_OVER]
        self.is_broken = error is not None
        self.error = error if error is not None else answer.get("error")
        self.next_input = starts[0] if starts and self.error is None else None
        self.is_done = bool(answer.get("isDone")) or self.error is not None
        has_output = self.is_done and self.error is None and self.next_input is None
        self.output = answer.get("output") if has_output else None
        self.custom_status = answer.get("customStatus")


def _flat(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for action in actions:
        if action["actionType"] in _COMPOUND:
            found += _flat(action["compoundActions"])
        elif action["actionType"] != _WAIT:
            found.append(action)
    return found


class Oracle:
    """Holds the events the code may see, in the order it sees them, by a rule of its own.

    Everything is asked of the handler: whether a task or a wait is open is read from the SDK after
    a full replay of what was delivered so far. Slow and plain on purpose.
    """

    def __init__(self, function: Callable[..., Any], instance_id: str, value: Any) -> None:
        self._instance_id = instance_id
        self._input = None if value is None else json.dumps(value)
        self._delivered: list[HistoryEvent] = []
        self._early: list[EventRaised] = []
        self._held: list[HistoryEvent] = []
        self._is_suspended = False
        self._context: Any = None
        self._state: State | None = None

        def seen_by_us(context: Any) -> Any:
            self._context = context
            return function(context)

        self._handle = Orchestrator.create(seen_by_us)

    @property
    def state(self) -> State:
        """The handler's answer to what was delivered so far."""
        if self._state is None:
            self._state = self._run()
        return self._state

    def feed(self, event: HistoryEvent) -> None:
        """Take the next event of the history."""
        match event:
            case ExecutionSuspended():
                self._is_suspended = True
            case ExecutionResumed():
                self._is_suspended = False
                held, self._held = self._held, []
                for each in held:
                    self._message(each)
            case ExecutionCompleted():
                pass
            case (
                TaskCompleted()
                | TaskFailed()
                | SubOrchestrationCompleted()
                | SubOrchestrationFailed()
                | TimerFired()
                | EventRaised()
            ):
                if self._is_suspended:
                    self._held.append(event)
                else:
                    self._message(event)
            case _:
                self._deliver(event)
                if isinstance(event, ExecutionStarted):
                    self._release()

    def _message(self, event: HistoryEvent) -> None:
        if self.state.is_done:
            return
        if isinstance(event, EventRaised):
            name = self._open_wait(event.name)
            if name is None:
                self._early.append(event)
                return
            self._deliver(EventRaised(timestamp=event.timestamp, name=name, input=event.input))
        else:
            task = dict(self._context.open_tasks).get(getattr(event, "task_id", None))
            if task is None or getattr(task, "is_cancelled", False):
                return
            self._deliver(event)
        self._release()

    def _release(self) -> None:
        for event in self._early:
            if not self.state.is_done and self._open_wait(event.name) is not None:
                self._early.remove(event)
                self._message(event)
                return

    def _open_wait(self, name: str) -> str | None:
        assert self.state is not None
        names = [key for key in self._context.open_tasks if isinstance(key, str)]
        same = [key for key in names if key.lower() == name.lower()]
        return name if name in same else next(iter(same), None)

    def _deliver(self, event: HistoryEvent) -> None:
        self._delivered.append(event)
        self._state = None

    def _run(self) -> State:
        payload = {
            "history": [wire(event) for event in self._delivered],
            "instanceId": self._instance_id,
            "isReplaying": False,
            "parentInstanceId": None,
            "input": self._input,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
        }
        try:
            return State(json.loads(self._handle(json.dumps(payload))), None)
        except Exception as error:  # noqa: BLE001 - its way to report a failure
            text, marker, state = str(error).partition(_MARKER)
            return State(json.loads(state), None) if marker else State({}, text)

"""Say in words what an open task of the SDK waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from azure.durable_functions.models.actions.NoOpAction import NoOpAction
from azure.durable_functions.models.Task import LongTimerTask, TaskBase

from func_py.durable.replay.context import printed_time

WaitKind = Literal["activity", "child", "event", "entity", "http", "timer", "nothing"]


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an orchestrator's code waits for."""

    kind: WaitKind
    text: str
    """In words: `activity 'A' (#3)`, `event 'Approval'`, `timer #4 until …`."""
    name: str = ""
    """Of the function or the event; of an entity its id, of a timer the call it is to retry."""
    task_id: int | None = None
    """The number of the task; None of events and entities."""
    part_of: datetime | None = None
    """When the timer of the code is due, where this is a part of that."""


def wait_of(task: TaskBase, due: Mapping[int, datetime]) -> Wait:
    """What an unfinished atomic task waits for.

    Args:
        task: The task.
        due: When the open timers fire, by task id.
    """
    is_retry = isinstance(task.action_repr, NoOpAction)
    kind, name, text = _words(task.parent.actions if is_retry else task.action_repr)
    task_id = task.id if isinstance(task.id, int) else None
    if task_id is None:
        return Wait(kind=kind, text=text, name=name)
    if task_id in due:
        retried = text if is_retry else ""
        purpose = f" to retry {retried}" if retried else ""
        text = f"timer #{task_id} until {due[task_id].isoformat()}{purpose}"
        whole = None
        if isinstance(task.parent, LongTimerTask):
            whole = printed_time(task.parent.action.fire_at)
            text = f"{text}, part of a timer until {whole.isoformat()}"
        return Wait(kind="timer", text=text, name=retried, task_id=task_id, part_of=whole)
    return Wait(kind=kind, text=f"{text} (#{task_id})", name=name, task_id=task_id)


def _words(action: Any) -> tuple[WaitKind, str, str]:
    """Kind, name and words of an action."""
    match type(action).__name__:
        case "CallActivityAction" | "CallActivityWithRetryAction":
            name = str(action.function_name)
            return "activity", name, f"activity '{name}'"
        case "CallSubOrchestratorAction" | "CallSubOrchestratorWithRetryAction":
            name = str(action.function_name)
            return "child", name, f"sub-orchestration '{name}'"
        case "WaitForExternalEventAction":
            name = str(action.external_event_name)
            return "event", name, f"event '{name}'"
        case "CallEntityAction":
            entity = str(action.instance_id)
            return "entity", entity, f"the answer of '{entity}' to '{action.operation}'"
        case "CallHttpAction":
            request = action.http_request
            return "http", "", f"HTTP {request.method} {request.uri}"
        case "CreateTimerAction":
            return "nothing", "", "a timer that was cancelled"
        case _:
            return "nothing", "", "a signal, which has no answer"

"""Say in words what an open task of the SDK waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azure.durable_functions.models.actions.NoOpAction import NoOpAction
from azure.durable_functions.models.Task import TaskBase


def describe_wait(task: TaskBase, due: Mapping[int, datetime]) -> str:
    """`activity 'A' (#3)`, `event 'Approval'`, `timer #4 until …`.

    Args:
        task: An unfinished atomic task.
        due: When the open timers fire, by task id.
    """
    is_retry = isinstance(task.action_repr, NoOpAction)
    action = task.parent.actions if is_retry else task.action_repr
    number = f" (#{task.id})" if isinstance(task.id, int) else ""
    if task.id in due:
        purpose = f" to retry {_words(action)}" if is_retry else ""
        return f"timer #{task.id} until {due[task.id].isoformat()}{purpose}"
    return _words(action) + number


def _words(action: Any) -> str:
    match type(action).__name__:
        case "CallActivityAction" | "CallActivityWithRetryAction":
            return f"activity '{action.function_name}'"
        case "CallSubOrchestratorAction" | "CallSubOrchestratorWithRetryAction":
            return f"sub-orchestration '{action.function_name}'"
        case "WaitForExternalEventAction":
            return f"event '{action.external_event_name}'"
        case "CallEntityAction":
            return f"the answer of '{action.instance_id}' to '{action.operation}'"
        case "CallHttpAction":
            return f"HTTP {action.http_request.method} {action.http_request.uri}"
        case "CreateTimerAction":
            return "a timer that was cancelled"
        case _:
            return "a signal, which has no answer"

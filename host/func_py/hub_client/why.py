"""Why an instance has not ended, from what the task hub holds of it. Decides only: reads nothing.

What the orchestrator's code waits for by name is not stored; what it has asked for, is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from func_py.durable.model import (
    EventRaised,
    ExecutionSuspended,
    HistoryEvent,
    InstanceState,
    RuntimeStatus,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from func_py.hub_client.others import OtherHosts

_MOST_SHOWN = 10

Asked = TaskScheduled | SubOrchestrationCreated | TimerCreated
_ANSWERS = (
    TaskCompleted,
    TaskFailed,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TimerFired,
)


def unanswered(events: Sequence[HistoryEvent]) -> list[Asked]:
    """What an execution has asked for and got no answer to, oldest first.

    A timer that the code has cancelled is among them: cancelling is not stored.
    """
    answered = {event.task_id for event in events if isinstance(event, _ANSWERS)}
    return [e for e in events if isinstance(e, Asked) and e.task_id not in answered]


def reasons(
    state: InstanceState,
    events: Sequence[HistoryEvent],
    others: OtherHosts,
    children: Mapping[str, RuntimeStatus],
    now: datetime,
) -> list[str]:
    """Why an orchestration has not ended, a line each, the most telling first.

    Args:
        state: Its record.
        events: The history of its current execution.
        others: The live hosts of the hub.
        children: Instance ids of sub-orchestrations → their statuses, where they exist.
        now: The time.
    """
    if state.status.is_terminal:
        return [_end(state)]
    lines = []
    if not others.are_running:
        lines.append("no host runs on this task hub: `func-py start` goes on with it")
    elif missing := others.missing("orchestrator", state.name):
        lines.append(str(missing))
    if state.status is RuntimeStatus.SUSPENDED:
        lines.append(_suspended(events))
    if state.status is RuntimeStatus.PENDING:
        return lines or ["it was started and waits for its first turn: nothing is wrong so far"]
    waits = [line for asked in unanswered(events) for line in _waits(asked, others, children, now)]
    if len(waits) > _MOST_SHOWN:
        waits[_MOST_SHOWN:] = [f"… and {len(waits) - _MOST_SHOWN} more"]
    lines += waits
    if not waits:
        lines.append(_event(events))
    return lines


def _end(state: InstanceState) -> str:
    at = f" at {state.completed_at.isoformat()}" if state.completed_at else ""
    detail = f": {state.output}" if state.status is not RuntimeStatus.COMPLETED else ""
    return f"it has ended{at}, {state.status}{detail}"


def _suspended(events: Sequence[HistoryEvent]) -> str:
    reasons = [e.reason for e in events if isinstance(e, ExecutionSuspended) and e.reason]
    why = f" ({reasons[-1]})" if reasons else ""
    return f"it is suspended{why}: `func-py durable resume` lets it go on"


def _waits(
    asked: Asked, others: OtherHosts, children: Mapping[str, RuntimeStatus], now: datetime
) -> list[str]:
    match asked:
        case TaskScheduled():
            since = asked.timestamp.isoformat()
            line = f"activity '{asked.name}' (#{asked.task_id}), asked for at {since}"
            missing = others.missing("activity", asked.name)
            return [f"{line}. {missing}" if missing else line]
        case SubOrchestrationCreated():
            status = children.get(asked.instance_id)
            where = f"sub-orchestration '{asked.name}', instance '{asked.instance_id}'"
            return [f"{where}: {status or 'not there (purged?)'}"]
        case TimerCreated():
            # One that is long due was cancelled; to say so of one that is not would be a guess.
            due = asked.fire_at > now
            return [f"timer #{asked.task_id} until {asked.fire_at.isoformat()}"] if due else []


def _event(events: Sequence[HistoryEvent]) -> str:
    raised = dict.fromkeys(e.name for e in events if isinstance(e, EventRaised))
    got = ", ".join(f"'{name}'" for name in raised)
    return (
        "it has an answer to all it has asked for: it waits for an external event or an entity. "
        f"Events that have come so far: {got or 'none'}"
    )

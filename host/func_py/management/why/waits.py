"""What the code of an orchestration waits for, and what became of that. Decides only.

What it waits for is known to the host that runs it, or to nobody; what it has asked for and got no
answer to is stored.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime

from func_py.durable.engine.live import LiveInstance
from func_py.durable.model import (
    EventRaised,
    HistoryEvent,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from func_py.durable.replay.waiting import Wait
from func_py.management.why.calls import call_reasons
from func_py.management.why.facts import Facts, Reason
from func_py.management.why.words import clock_time, listed, since, span

_MOST_SHOWN = 10
_MOST_NAMES = 5

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


def awaited_reasons(facts: Facts, seen: LiveInstance) -> list[Reason]:
    """By its owner, which has the code."""
    asked = {event.task_id: event for event in unanswered(facts.events)}
    found: list[Reason] = []
    calls: list[TaskScheduled] = []
    for wait in seen.waits:
        event = None if wait.task_id is None else asked.get(wait.task_id)
        if isinstance(event, TaskScheduled) and wait.kind == "activity":
            calls.append(event)
        else:
            found.append(_awaited_one(facts, wait, event))
    found.sort(key=lambda reason: reason.kind == "timer")  # often the limit of another wait
    return _names(seen) + _cut(call_reasons(facts, calls) + found)


def _awaited_one(facts: Facts, wait: Wait, event: Asked | None) -> Reason:
    match wait.kind:
        case "event":
            return Reason("event", f"it waits for the event '{wait.name}', which has not come")
        case "entity":
            more = f"`func-py why {wait.name}` says what that does"
            return Reason("entity", f"it waits for {wait.text}; {more}")
        case "http" if event is not None:
            age = since(event.timestamp, facts.now)
            return Reason("http", f"it waits for {wait.text} {age}")
        case "timer" if isinstance(event, TimerCreated):
            return _timer(event, facts.now, wait.name, wait.part_of)
        case "child" if isinstance(event, SubOrchestrationCreated):
            return _child(facts, event)
        case "nothing":
            return Reason("nothing", f"it waits for {wait.text}: nothing can resume it")
        case _:
            return Reason("turn", f"its code asks for {wait.text}, which is not in its history yet")


def _names(seen: LiveInstance) -> list[Reason]:
    """Events that the code does not wait for; their names may nearly be those that it does."""
    awaited = {wait.name.lower(): wait.name for wait in seen.waits if wait.kind == "event"}
    near = {
        name: difflib.get_close_matches(name.lower(), list(awaited), n=1) for name in seen.unawaited
    }
    found = [
        Reason(
            "name",
            f"the event '{name}' has come, but the code waits for '{awaited[nearest[0]]}': if that "
            "was meant, raise it again under that name",
        )
        for name, nearest in near.items()
        if nearest
    ]
    if others := [name for name, nearest in near.items() if not nearest]:
        shown = listed(others, _MOST_NAMES)
        text = f"events that have come and that it does not wait for now: {shown}"
        found.append(Reason("event", text))
    return found


def stored_reasons(facts: Facts) -> list[Reason]:
    """By the store alone."""
    asked = unanswered(facts.events)
    found = call_reasons(facts, [event for event in asked if isinstance(event, TaskScheduled)])
    for event in asked:
        if isinstance(event, SubOrchestrationCreated):
            found.append(_child(facts, event))
        # One that is long due was cancelled; to say so of one that is not would be a guess.
        elif isinstance(event, TimerCreated) and event.fire_at > facts.now:
            found.append(_timer(event, facts.now))
    return _cut(found)


def _child(facts: Facts, asked: SubOrchestrationCreated) -> Reason:
    status = facts.children.get(asked.instance_id)
    where = f"sub-orchestration '{asked.name}', instance '{asked.instance_id}'"
    if status is None:
        return Reason("child", f"{where}: not there (purged?)")
    more = f"; `func-py why {asked.instance_id}` says what that waits for"
    return Reason("child", f"{where}: {status}{'' if status.is_terminal else more}")


def _timer(
    event: TimerCreated, now: datetime, retried: str = "", part_of: datetime | None = None
) -> Reason:
    left = event.fire_at - now
    when = f"in {span(left)}" if left.total_seconds() > 0 else "which is due now"
    purpose = f", to retry {retried}" if retried else ""
    whole = f", part of a timer until {clock_time(part_of)}" if part_of is not None else ""
    text = f"timer #{event.task_id} until {clock_time(event.fire_at)}, {when}{purpose}{whole}"
    return Reason("timer", text)


def answered(events: Sequence[HistoryEvent]) -> Reason:
    """Nothing that is stored is missing."""
    raised = list(dict.fromkeys(e.name for e in events if isinstance(e, EventRaised)))
    return Reason(
        "event",
        "it has an answer to all it has asked for: it waits for an external event or an entity. "
        f"Events that have come so far: {listed(raised, _MOST_NAMES) or 'none'}",
    )


def _cut(found: list[Reason]) -> list[Reason]:
    if len(found) <= _MOST_SHOWN:
        return found
    rest = found[_MOST_SHOWN:]
    return [*found[:_MOST_SHOWN], Reason(rest[0].kind, f"… and {len(rest)} more")]

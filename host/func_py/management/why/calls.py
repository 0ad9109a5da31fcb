"""What became of activity calls that have no answer. Decides only."""

from __future__ import annotations

from collections.abc import Sequence

from func_py.durable.engine.activities import LiveCall
from func_py.durable.model import TaskScheduled
from func_py.management.why.facts import Facts, Reason
from func_py.management.why.side_channel import HostAnswer
from func_py.management.why.words import ago, host_words, since

Waiting = list[tuple[TaskScheduled, LiveCall]]
"""Calls of one process, and what that says of them; not empty."""


def call_reasons(facts: Facts, calls: Sequence[TaskScheduled]) -> list[Reason]:
    """What became of them; those that wait for the same make one line.

    Those that no host can run come first, then those that run.
    """
    found: list[Reason] = []
    in_line: dict[int, Waiting] = {}
    queued: dict[int, Waiting] = {}
    held = _held(facts)
    for asked in calls:
        missing = facts.hosts.missing("activity", asked.name)
        if asked.task_id in held:
            answer, call = held[asked.task_id]
            if call.since is None:
                queued.setdefault(answer.process, []).append((asked, call))
            elif call.full_threads:
                in_line.setdefault(answer.process, []).append((asked, call))
            else:
                text = f"{_words(asked)} runs {since(call.since, facts.now)} in process "
                place = f"\n{call.place}" if call.place else ""
                found.append(Reason("activity", f"{text}{answer.process}{place}"))
        elif missing is not None:
            found.insert(0, Reason("function", f"{_words(asked)}: {missing}"))
        else:
            found.append(_elsewhere(facts, asked))
    found += [_line(facts, process, waiting) for process, waiting in in_line.items()]
    return found + [_queue(facts, process, waiting) for process, waiting in queued.items()]


def _held(facts: Facts) -> dict[int, tuple[HostAnswer, LiveCall]]:
    """Task id → who has the call; whoever runs it before whoever has it in a queue."""
    held: dict[int, tuple[HostAnswer, LiveCall]] = {}
    for answer in facts.answers:
        for call in answer.seen.calls if answer.seen is not None else ():
            if call.execution_id == facts.state.execution_id and (
                call.task_id not in held or call.since is not None
            ):
                held[call.task_id] = answer, call
    return held


def _words(asked: TaskScheduled) -> str:
    return f"activity '{asked.name}' (#{asked.task_id})"


def _elsewhere(facts: Facts, asked: TaskScheduled) -> Reason:
    """A call that no host has which could be asked."""
    text = f"{_words(asked)} was asked for {ago(asked.timestamp, facts.now)}"
    holder = facts.whereabouts.activities.get(asked.task_id)
    if holder is None or not facts.hosts.are_running:
        return Reason("activity", f"{text} and has no answer")
    if not facts.hosts.has(holder):
        return Reason("activity", f"{text}; no host has taken it up yet")
    silent = [answer.process for answer in facts.answers if answer.host_id == holder]
    where = f"in process {silent[0]}" if silent else f"on {host_words(holder)}"
    return Reason("activity", f"{text}; it runs or waits {where}")


def _line(facts: Facts, process: int, waiting: Waiting) -> Reason:
    """Calls in hand of plain functions, for which there are threads too few."""
    first, call = waiting[0]
    more = f" and {len(waiting) - 1} more wait" if len(waiting) > 1 else " waits"
    age = since(call.since or first.timestamp, facts.now)
    return Reason(
        "limit",
        f"{_words(first)}{more} for a thread {age}: {call.full_threads} plain functions run in "
        f"process {process}, which is the limit (PYTHON_THREADPOOL_THREAD_COUNT)",
    )


def _queue(facts: Facts, process: int, waiting: Waiting) -> Reason:
    """Calls that are not in hand yet."""
    first, call = waiting[0]
    more = f" and {len(waiting) - 1} more calls wait" if len(waiting) > 1 else " waits"
    age = since(first.timestamp, facts.now)
    limit = max(a.seen.full_activities for a in facts.answers if a.seen and a.process == process)
    if not limit:
        return Reason("activity", f"{_words(first)}{more} to begin in process {process} {age}")
    return Reason(
        "limit",
        f"{_words(first)}{more} {age}: {limit} activities run in process {process}, which is the "
        f"limit (maxConcurrentActivityFunctions), and {call.ahead or 'no'} calls come before it",
    )

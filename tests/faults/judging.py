"""What must hold on the disk after any number of deaths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from faults.caller import Caller
from faults.site import Site
from faults.victim import FUNCTIONS
from support.process import wait_for

from func_py.durable.model import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
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
from func_py.durable.replay import verify

T = TypeVar("T")

_Scheduling = TaskScheduled | TimerCreated | SubOrchestrationCreated
_Completion = (
    TaskCompleted | TaskFailed | TimerFired | SubOrchestrationCompleted | SubOrchestrationFailed
)


def of(history: Sequence[HistoryEvent], kind: type[T]) -> list[T]:
    """The events of one kind."""
    return [event for event in history if isinstance(event, kind)]


def assert_sound(site: Site, instance_id: str) -> Sequence[HistoryEvent]:
    """A finished execution: nothing twice in its history, which leads to the recorded end.

    Returns the history.
    """
    history = site.hub.history(instance_id)
    [started] = of(history, ExecutionStarted)
    [completed] = of(history, ExecutionCompleted)
    assert completed.status.value == site.hub.statuses()[instance_id]
    # A generation that was opened by continue-as-new and terminated unrun has no end of its turn.
    open_turns = len(of(history, OrchestratorStarted)) - len(of(history, OrchestratorCompleted))
    assert open_turns == 0 or (open_turns == 1 and completed.status is RuntimeStatus.TERMINATED)
    scheduled = [e.task_id for e in history if isinstance(e, _Scheduling)]
    ended = [e.task_id for e in history if isinstance(e, _Completion)]
    assert len(set(scheduled)) == len(scheduled)
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(scheduled)
    messages = [event.message_id for event in history if event.message_id]
    assert len(set(messages)) == len(messages)
    # What was terminated in its first turn has run no code.
    if (
        completed.status is not RuntimeStatus.TERMINATED
        or len(of(history, OrchestratorStarted)) > 1
    ):
        assert verify(FUNCTIONS[started.name].function, instance_id, history) is None
    return history


def assert_results_are_real(site: Site, instance_id: str, deaths: int) -> None:
    """Each result in history is one that a call gave; calls are repeated by deaths only."""
    history = site.hub.history(instance_id)
    given = {token: step for instance, step, token in site.runs() if instance == instance_id}
    calls = of(history, TaskScheduled)
    step_of = {call.task_id: json.loads(call.input or "")[1] for call in calls}
    for event in of(history, TaskCompleted):
        assert given[json.loads(event.result or "")] == step_of[event.task_id]
    made = Counter(given.values())
    for step, count in Counter(step_of.values()).items():
        assert count <= made[step] <= count * (1 + deaths), f"{step} ran {made[step]} times"


def assert_applied(found: Sequence[object], sent: Sequence[tuple[str, bool]]) -> None:
    """All that was acknowledged, nothing twice, in the order in which it was sent."""
    assert found == [payload for payload, _ in sent if payload in found]
    assert {payload for payload, is_acknowledged in sent if is_acknowledged} <= set(found)


def assert_items_taken(site: Site, caller: Caller, instance_id: str) -> None:
    """A finished taker of items: all that were acknowledged until the last, once and in order."""
    assert_sound(site, instance_id)
    taken: list[str] = caller.wait_for_end(instance_id)["output"]
    sent = caller.sent[instance_id]
    assert taken[-1].startswith("end")
    # It may have been ended by an attempt that was cut off, and the next one taken just before.
    last = [payload for payload, _ in sent].index(taken[-1])
    assert_applied(taken, sent[: last + 1])


def assert_family(site: Site, caller: Caller, parent: str, deaths: int) -> Sequence[str]:
    """A finished parent: each child was born once and answered once. Returns the children."""
    history = assert_sound(site, parent)
    children = [event.instance_id for event in of(history, SubOrchestrationCreated)]
    assert children[:2] == [f"{parent}-0", f"{parent}-1"]
    assert len(set(children)) == len(of(history, SubOrchestrationCompleted)) == 3
    grown = caller.wait_for_end(parent)["output"]
    for child, token in zip(children, grown, strict=True):
        assert_sound(site, child)
        assert_results_are_real(site, child, deaths)
        assert caller.wait_for_end(child)["output"] == token
    return children


def assert_errands(site: Site, caller: Caller, instance_ids: Sequence[str]) -> None:
    """Finished errands: the entity has what each entered, once and in order, and nothing else."""
    found = caller.entries("book")
    assert len(found) == 5 * len(instance_ids)
    for instance_id in instance_ids:
        history = assert_sound(site, instance_id)
        assert len(of(history, EventSent)) == 6
        assert len(of(history, EventRaised)) == 2
        seen = caller.wait_for_end(instance_id)["output"]
        for entries in (seen, found):
            assert [number for who, number in entries if who == instance_id] == [0, 1, 2, 3, 4]


def settle(site: Site, caller: Caller) -> None:
    """Wait until there is nothing left to do; a host that dies meanwhile is replaced."""
    wait_for(lambda: caller.is_answered() and not site.hub.has_work_left(), "the last work")


def assert_all_done(site: Site, caller: Caller, statuses: Mapping[str, str]) -> None:
    """These orchestrations are there with these statuses, no others, and nothing is left to do."""
    settle(site, caller)
    found = {key: value for key, value in site.hub.statuses().items() if not key.startswith("@")}
    assert found == statuses
    assert site.hub.orphans() == []

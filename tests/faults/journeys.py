"""The journey: an orchestration with every kind of step, and what it must leave."""

from __future__ import annotations

import json
from collections.abc import Sequence

from faults.caller import Caller
from faults.judging import assert_all_done, assert_results_are_real, assert_sound, of
from faults.site import Site

from func_py.durable.model import (
    EventRaised,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

_SCHEDULED = [
    *["work"] * 4,
    "stumble",
    "back-off timer",
    "stumble",
    "back-off timer",  # the SDK also waits after the last attempt
    "nap timer",
    "deadline timer",
    "work",
]
"""What a journey asks for, in the order of task ids."""


def wait_for_approval_point(caller: Caller, instance_id: str) -> None:
    """Wait until a journey waits for its approval."""
    caller.wait_until(instance_id, lambda s: s["customStatus"] == "waits for approval")


def approve(caller: Caller, instance_id: str) -> None:
    """Send the event that a journey waits for."""
    caller.raise_event(instance_id, "Approval", f"approval of {instance_id}")


def travel(caller: Caller, instance_ids: Sequence[str]) -> None:
    """Run journeys to their end; some are approved early, the others when they ask for it."""
    for instance_id in instance_ids:
        caller.start("journey", instance_id)
    for instance_id in instance_ids[::2]:
        approve(caller, instance_id)
    for instance_id in instance_ids[1::2]:
        wait_for_approval_point(caller, instance_id)
        approve(caller, instance_id)
    for instance_id in instance_ids:
        assert caller.wait_for_end(instance_id)["runtimeStatus"] == "Completed"


def assert_nothing_lost(
    site: Site, caller: Caller, instance_ids: Sequence[str], deaths: int
) -> None:
    """Finished journeys are as they must be, and there is nothing else."""
    for instance_id in instance_ids:
        assert_journey(site, caller, instance_id, deaths)
    assert_all_done(site, caller, dict.fromkeys(instance_ids, "Completed"))


def assert_journey(site: Site, caller: Caller, instance_id: str, deaths: int) -> None:
    """A finished journey: each step exactly once in history, and every acknowledged event."""
    history = assert_sound(site, instance_id)
    assert_results_are_real(site, instance_id, deaths)
    scheduled = [e for e in history if isinstance(e, TaskScheduled | TimerCreated)]
    scheduled.sort(key=lambda event: event.task_id)
    word_of = {e.task_id: word for e, word in zip(scheduled, _SCHEDULED, strict=True)}
    for event in scheduled:
        word = word_of[event.task_id]
        assert word == event.name if isinstance(event, TaskScheduled) else word.endswith("timer")
    completed = [e.task_id for e in history if isinstance(e, TaskCompleted | TaskFailed)]
    assert sorted(completed) == sorted(e.task_id for e in of(history, TaskScheduled))
    fired = [word_of[event.task_id] for event in of(history, TimerFired)]
    assert sorted(fired) == ["back-off timer", "back-off timer", "nap timer"]

    sent = caller.sent[instance_id]
    seen = [json.loads(event.input or "") for event in of(history, EventRaised)]
    assert set(seen) <= {payload for payload, _ in sent}
    # The first one ended the wait; of a later one the journey may have been finished before.
    first = next((i for i, (_, acknowledged) in enumerate(sent) if acknowledged), len(sent))
    assert set(seen) & {payload for payload, _ in sent[: first + 1]}

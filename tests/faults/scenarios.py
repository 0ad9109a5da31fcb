"""What victims do when they are killed, and what must have come of it in the end.

A scenario is played with one crash point armed: it asks for something, sees it through and judges
what is left. It holds whether or not somebody dies, so the test that plays it chooses where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults.caller import Caller
from faults.journeys import assert_journey, travel
from faults.judging import (
    assert_all_done,
    assert_applied,
    assert_applied_to_the_end,
    assert_results_are_real,
    assert_sound,
    of,
    raised,
    settle,
)
from faults.site import Site
from faults.victims import Lineage
from support.process import wait_for

from func_py.durable.model import (
    EventSent,
    ExecutionStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    TaskCompleted,
    TimerFired,
)

STORE = ("store.before_commit", "store.after_commit")
TURN = ("turn.before_code", "turn.after_code", "turn.after_commit")
ACTIVITY = ("activity.before_run", "activity.after_run")
ENTITY = ("entity.before_run", "entity.after_run")


@dataclass(frozen=True, slots=True)
class Trial:
    """One play of a scenario."""

    site: Site
    victims: Lineage
    caller: Caller

    @property
    def deaths(self) -> int:
        """How many have died so far."""
        return len(self.victims.deaths)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play`: asks and judges. `points`: the crash points that it passes. `passages`: how often a
    death at one of them is worth trying; the last ones are not reached each time."""

    play: Callable[[Trial], None]
    points: tuple[str, ...]
    passages: int


def journeys(trial: Trial) -> None:
    """Activities in sequence and at once, retries, timers and an event, in two instances."""
    ids = ["early", "patient"]
    travel(trial.caller, ids)
    for instance_id in ids:
        assert_journey(trial.site, trial.caller, instance_id, trial.deaths)
    assert_all_done(trial.site, trial.caller, dict.fromkeys(ids, "Completed"))


def family(trial: Trial) -> None:
    """A parent and its children: each is born once and answers once (S1 to S3)."""
    site, caller = trial.site, trial.caller
    caller.start("family", "parent")
    grown = caller.wait_for_end("parent")["output"]
    settle(site, caller)

    history = assert_sound(site, "parent")
    children = [event.instance_id for event in of(history, SubOrchestrationCreated)]
    assert children[:2] == ["parent-0", "parent-1"]
    assert len(set(children)) == len(of(history, SubOrchestrationCompleted)) == 3
    for child, token in zip(children, grown, strict=True):
        assert_sound(site, child)
        assert_results_are_real(site, child, trial.deaths)
        assert caller.wait_for_end(child)["output"] == token
    assert_all_done(site, caller, dict.fromkeys(["parent", *children], "Completed"))


def generations(trial: Trial) -> None:
    """A loop that continues as new: no event is lost or comes twice, nothing late disturbs."""
    site, caller = trial.site, trial.caller
    caller.start("generations", "loop")
    for label in ("one", "two", "three", "end"):
        caller.raise_event("loop", "Item", label)
    taken = caller.wait_for_end("loop")["output"]

    assert_applied_to_the_end(taken, caller.sent["loop"])
    assert_sound(site, "loop")
    assert_results_are_real(site, "loop", trial.deaths)
    assert_all_done(site, caller, {"loop": "Completed"})


def held(trial: Trial) -> None:
    """Suspended, sent events, resumed: they are held back, then all come in order (P1, P2)."""
    site, caller = trial.site, trial.caller
    caller.start("collector", "held")
    caller.command_until("held", "suspend", "Suspended")
    for label in ("one", "two", "three", "end"):
        caller.raise_event("held", "Item", label)
        caller.wait_until("held", lambda status: status["runtimeStatus"] == "Suspended")
    caller.command_until("held", "resume", "Running", "Completed")
    taken = caller.wait_for_end("held")["output"]

    assert_applied_to_the_end(taken, caller.sent["held"])
    assert taken == [item for item in raised(assert_sound(site, "held")) if item in taken]
    assert_all_done(site, caller, {"held": "Completed"})


def terminated(trial: Trial) -> None:
    """Ended by a client while activities run, and between generations (N5, A7, C9)."""
    site, caller = trial.site, trial.caller
    ids = ["lingerer", "spinner", "sleeper"]
    for name in ids:
        caller.start(name, name)
    for instance_id in ids:
        caller.command_until(instance_id, "terminate", "Terminated")

    for instance_id in ids:
        assert caller.wait_for_end(instance_id)["output"] == "because"
        assert_sound(site, instance_id)
    assert_all_done(site, caller, dict.fromkeys(ids, "Terminated"))


def replaced(trial: Trial) -> None:
    """A finished instance is started again: wholly the old one, then wholly the new one (C4)."""
    site, caller = trial.site, trial.caller
    for value in ("first", "second"):
        caller.start("echo", "again", value)
        assert caller.wait_for_end("again")["output"] == value
        history = assert_sound(site, "again")
        assert [event.input for event in of(history, ExecutionStarted)] == [f'"{value}"']
        assert len(of(history, TaskCompleted)) == 1
    assert_results_are_real(site, "again", trial.deaths + 1)
    assert_all_done(site, caller, {"again": "Completed"})


def purged(trial: Trial) -> None:
    """Deleted as a whole or not at all, and nobody else with it (H7, I9)."""
    site, caller = trial.site, trial.caller
    for instance_id in ("purged", "kept"):
        caller.start("echo", instance_id, instance_id)
        caller.wait_for_end(instance_id)
    settle(site, caller)
    tables = ("instances", "origins", "history")

    def is_gone() -> bool:
        answer = caller.purge("purged")
        traces = [site.hub.count(table, "purged") for table in tables]
        assert all(traces) or not any(traces)
        return answer is not None

    wait_for(is_gone, "the purge to be answered")
    assert not any(site.hub.count(table, "purged") for table in tables)
    assert caller.wait_for_end("kept")["output"] == "kept"
    assert_all_done(site, caller, {"kept": "Completed"})


def errands(trial: Trial) -> None:
    """Signals and calls of orchestrations to one entity: once, in order, answered once."""
    site, caller = trial.site, trial.caller
    ids = ["errand-0", "errand-1"]
    for instance_id in ids:
        caller.start("errand", instance_id)
    for instance_id in ids:
        seen = caller.wait_for_end(instance_id)["output"]
        assert [number for who, number in seen if who == instance_id] == [0, 1, 2, 3, 4]
        history = assert_sound(site, instance_id)
        assert len(of(history, EventSent)) == 6
        assert len(of(history, TimerFired)) == 0
    found = caller.entries("book")
    assert len(found) == 5 * len(ids)
    for instance_id in ids:
        assert [number for who, number in found if who == instance_id] == [0, 1, 2, 3, 4]
    assert_all_done(site, caller, dict.fromkeys(ids, "Completed"))


def signals(trial: Trial) -> None:
    """Signals of a client, one of which deletes the entity (E10, E12)."""
    site, caller = trial.site, trial.caller
    for label in ("one", "two"):
        caller.signal("own", "enter", label)
    caller.signal("own", "close", "close")
    before = len(caller.sent["own"])
    for label in ("three", "four", "five"):
        caller.signal("own", "enter", label)
    settle(site, caller)

    applied = [payload for _, payload in caller.entries("own")]
    assert_applied(applied, caller.sent["own"][before:])
    assert_all_done(site, caller, {})


SCENARIOS: dict[str, Scenario] = {
    scenario.play.__name__: scenario
    for scenario in (
        Scenario(
            journeys,
            (*STORE, *TURN, *ACTIVITY, "client.after_create", "client.after_send", "timer.fired"),
            16,
        ),
        Scenario(family, (*STORE, *TURN, *ACTIVITY, "client.after_create"), 12),
        Scenario(generations, (*STORE, *TURN, *ACTIVITY, "client.after_send"), 12),
        Scenario(held, (*STORE, *TURN, "client.after_send"), 12),
        Scenario(terminated, (*STORE, *TURN, *ACTIVITY, "client.after_send"), 8),
        Scenario(replaced, (*STORE, *TURN, *ACTIVITY, "client.after_create"), 12),
        Scenario(purged, STORE, 10),
        Scenario(errands, (*STORE, *TURN, *ENTITY), 12),
        Scenario(signals, (*STORE, *ENTITY, "client.after_send"), 12),
    )
}

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
    assert_errands,
    assert_family,
    assert_items_taken,
    assert_results_are_real,
    assert_sound,
    of,
    settle,
)
from faults.site import Site
from faults.victims import Lineage
from support.process import wait_for

from func_py.durable.faults import POINTS
from func_py.durable.model import (
    ExecutionRewound,
    ExecutionStarted,
    TaskCompleted,
)

ON_AZURE = frozenset(point for point in POINTS if point.startswith("azure."))
"""Passed with a task hub in Azure Storage only: `test_azure_deaths`."""
AT_START = frozenset({"store.schema_half", "host.acquired"})
"""Points that a host passes before it is ready, and only then."""
STORE = ("store.before_commit", "store.after_commit")
TURN = ("turn.after_code", "turn.after_commit")
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
    caller.wait_for_end("parent")
    settle(site, caller)

    children = assert_family(site, caller, "parent", trial.deaths)
    assert_all_done(site, caller, dict.fromkeys(["parent", *children], "Completed"))


def generations(trial: Trial) -> None:
    """A loop that continues as new: no event is lost or comes twice, nothing late disturbs."""
    site, caller = trial.site, trial.caller
    caller.start("generations", "loop")
    for label in ("one", "two", "three", "end"):
        caller.raise_event("loop", "Item", label)
    caller.wait_for_end("loop")
    settle(site, caller)  # what it left behind runs on

    assert_items_taken(site, caller, "loop")
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
    caller.wait_for_end("held")

    assert_items_taken(site, caller, "held")
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


def dismissed(trial: Trial) -> None:
    """A parent terminated with all below it, however far the cascade had come (S5)."""
    site, caller = trial.site, trial.caller
    everyone = ["top", "top-0", "top-1", "top-0-0"]
    caller.start("household", "top", 1)
    wait_for(lambda: caller.is_answered() and set(site.hub.statuses()) == {*everyone}, "children")
    caller.command_until("top", "terminate", "Terminated", more="&recursive=true")
    for instance_id in everyone:
        assert caller.wait_for_end(instance_id)["output"] == "because"
        assert_sound(site, instance_id)
    assert_all_done(site, caller, dict.fromkeys(everyone, "Terminated"))


def buried(trial: Trial) -> None:
    """A family purged as a whole; what an interrupted purge left, the next one finds (S6)."""
    site, caller = trial.site, trial.caller
    caller.start("family", "parent")
    caller.wait_for_end("parent")
    settle(site, caller)

    def is_gone() -> bool:
        answer = caller.purge("parent", "?recursive=true")
        # Children go first: while one is there, so is the way to it.
        assert "parent" in site.hub.statuses() or site.hub.statuses() == {}
        return answer is not None

    wait_for(is_gone, "the purge to be answered")
    assert_all_done(site, caller, {})


def rewound(trial: Trial) -> None:
    """A failed parent is taken back with the child that failed it (R1 to R4)."""
    site, caller = trial.site, trial.caller
    caller.start("patron", "patron")
    assert caller.wait_for_end("patron")["runtimeStatus"] == "Failed"
    settle(site, caller)
    site.mend()
    caller.command_until("patron", "rewind", "Running", "Completed")
    before, (child_before, mended) = caller.wait_for_end("patron")["output"]
    settle(site, caller)

    token_of = {(who, step): token for who, step, token in site.runs()}
    assert mended == token_of["patron-child", "mendable"]
    for instance_id, token in (("patron", before), ("patron-child", child_before)):
        history = assert_sound(site, instance_id)
        assert len(of(history, ExecutionRewound)) == 1
        assert_results_are_real(site, instance_id, trial.deaths + 1)
        # What had succeeded is not done again.
        made = [value for who, step, value in site.runs() if (who, step) == (instance_id, "before")]
        assert token in made
        assert len(made) <= 1 + trial.deaths
    assert_all_done(site, caller, dict.fromkeys(["patron", "patron-child"], "Completed"))


def errands(trial: Trial) -> None:
    """Signals and calls of orchestrations to one entity: once, in order, answered once."""
    site, caller = trial.site, trial.caller
    ids = ["errand-0", "errand-1"]
    for instance_id in ids:
        caller.start("errand", instance_id)
    for instance_id in ids:
        caller.wait_for_end(instance_id)
    assert_errands(site, caller, ids)
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
            tuple(sorted(POINTS.keys() - ON_AZURE - AT_START - {*ENTITY})),
            10,
        ),
        Scenario(family, (*STORE, *TURN, "activity.after_run", "client.after_create"), 8),
        Scenario(generations, (*STORE, *TURN, "activity.after_run", "client.after_send"), 8),
        Scenario(held, (*STORE, *TURN, "client.after_send"), 8),
        Scenario(terminated, (*STORE, *TURN, "activity.after_run", "client.after_send"), 8),
        Scenario(replaced, (*STORE, *TURN, "activity.after_run", "client.after_create"), 8),
        Scenario(purged, STORE, 8),
        Scenario(dismissed, (*STORE, *TURN), 8),
        Scenario(buried, STORE, 8),
        Scenario(rewound, (*STORE, *TURN, "activity.after_run", "client.after_send"), 9),
        Scenario(errands, (*STORE, *TURN, *ENTITY), 8),
        Scenario(signals, (*STORE, *ENTITY, "client.after_send"), 8),
    )
}

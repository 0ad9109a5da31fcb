"""Deaths that the crash matrix does not have: at birth, during a take-over, across a due time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from faults.caller import Caller
from faults.journeys import approve, assert_nothing_lost, travel, wait_for_approval_point
from faults.judging import assert_all_done, assert_sound, of, settle
from faults.site import Site
from support.process import wait_for

from func_py.durable.model import OrchestratorStarted, TimerCreated, TimerFired

pytestmark = pytest.mark.faults

JOURNEYS = [f"journey-{number}" for number in range(4)]

_HOUR_S = timedelta(hours=1).total_seconds()


@pytest.mark.parametrize(
    "target",
    [
        "store.before_commit:1",
        "store.before_commit:2",
        "store.before_commit:3",
        "turn.after_code:2",
    ],
)
def test_whatever_was_done_before_a_death_is_on_the_disk(site: Site, target: str) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.arm(target)
        answer = caller.try_start("journey", "one")
        wait_for(lambda: victims.deaths or not caller.is_answered(), "the death")

        assert answer is None or "one" in site.hub.statuses()
        assert {step for _, step, _ in site.runs()} <= site.scheduled_steps("one")


@pytest.mark.parametrize(
    "target", ["store.schema_half", "store.before_commit", "store.after_commit", "host.acquired"]
)
def test_a_host_killed_at_its_first_start_leaves_a_hub_that_works(site: Site, target: str) -> None:
    with site.victims([{"crash_at": target}]) as victims:
        assert len(victims.deaths) == 1
        caller = Caller(victims)
        travel(caller, JOURNEYS[:1])

        assert_nothing_lost(site, caller, JOURNEYS[:1], deaths=0)


@pytest.mark.parametrize(
    "target", ["host.acquired", "activity.before_run", "timer.fired", "turn.before_code"]
)
def test_hosts_killed_while_they_take_over_lose_nothing(site: Site, target: str) -> None:
    takes_over = [{}, {"crash_at": target}]
    with site.victims(takes_over) as victims:
        caller = Caller(victims)
        for instance_id in JOURNEYS:
            caller.start("journey", instance_id)
        victims.kill()
        for instance_id in JOURNEYS:
            approve(caller, instance_id)
        for instance_id in JOURNEYS:
            caller.wait_for_end(instance_id)

        assert_nothing_lost(site, caller, JOURNEYS, deaths=2)


@pytest.mark.parametrize("commit", range(1, 8))
def test_hosts_killed_at_a_commit_of_their_take_over_lose_nothing(site: Site, commit: int) -> None:
    deaths = [{"crash_at": f"store.after_commit:{commit}"}, {"crash_at": "store.before_commit:3"}]
    with site.victims([{}, *deaths]) as victims:
        caller = Caller(victims)
        for instance_id in JOURNEYS:
            caller.start("journey", instance_id)
        victims.kill()
        for instance_id in JOURNEYS:
            approve(caller, instance_id)
        for instance_id in JOURNEYS:
            caller.wait_for_end(instance_id)

        assert_nothing_lost(site, caller, JOURNEYS, deaths=3)


def test_thirty_journeys_cut_off_at_once_are_finished_by_the_next_host(site: Site) -> None:
    journeys = [f"journey-{number}" for number in range(30)]
    with site.victims() as victims:
        caller = Caller(victims)
        for instance_id in journeys:
            caller.start("journey", instance_id)
        for instance_id in journeys[::3]:
            approve(caller, instance_id)
        victims.kill()
        # It owns everything as soon as it is ready: there is no lease to wait for.
        assert caller.is_answered()
        assert site.hub.owners() == site.hub.hosts()
        assert len(site.hub.hosts()) == 1

        for instance_id in journeys:
            if instance_id not in caller.sent:
                approve(caller, instance_id)
        for instance_id in journeys:
            caller.wait_for_end(instance_id)

        assert_nothing_lost(site, caller, journeys, deaths=1)


def test_a_timer_that_was_due_while_nobody_lived_fires_once(site: Site) -> None:
    with site.victims([{}, {"clock_shift_s": _HOUR_S + 1}]) as victims:
        caller = Caller(victims)
        caller.start("sleeper", "sleeper")
        caller.wait_until("sleeper", lambda _: bool(of(site.hub.history("sleeper"), TimerCreated)))
        victims.kill()

        assert caller.wait_for_end("sleeper")["output"] == "rested"
        assert len(of(assert_sound(site, "sleeper"), TimerFired)) == 1
        assert_all_done(site, caller, {"sleeper": "Completed"})


def test_a_clock_that_was_set_back_fires_no_timer_early_and_keeps_turns_in_order(
    site: Site,
) -> None:
    births = [{}, {"clock_shift_s": -_HOUR_S}, {"clock_shift_s": _HOUR_S + 1}]
    with site.victims(births) as victims:
        caller = Caller(victims)
        caller.start("sleeper", "sleeper")
        caller.start("collector", "collector")
        for instance_id in ("sleeper", "collector"):
            caller.wait_until(instance_id, lambda status: status["runtimeStatus"] == "Running")
        victims.kill()
        caller.raise_event("collector", "Item", "end")
        caller.wait_for_end("collector")
        turns = [e.timestamp for e in of(assert_sound(site, "collector"), OrchestratorStarted)]
        assert turns == sorted(turns)
        assert not of(site.hub.history("sleeper"), TimerFired)

        victims.kill()
        caller.wait_for_end("sleeper")
        [fired] = of(assert_sound(site, "sleeper"), TimerFired)
        assert fired.timestamp >= fired.fire_at


def test_code_that_hung_until_its_host_was_killed_runs_again(site: Site) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.try_start("stuck", "stuck")
        wait_for(lambda: victims.deaths or not caller.is_answered(), "the death")
        site.mend()
        if "stuck" not in site.hub.statuses():
            caller.start("stuck", "stuck")

        assert caller.wait_for_end("stuck")["output"] == "free"
        assert_all_done(site, caller, {"stuck": "Completed"})


def test_an_activity_that_a_new_deployment_lacks_fails_its_orchestration(site: Site) -> None:
    with site.victims([{}, {"without": ["work"]}]) as victims:
        caller = Caller(victims)
        caller.arm("activity.before_run")
        caller.start("echo", "echo", 1)
        status = caller.wait_for_end("echo")

        assert victims.deaths
        assert status["runtimeStatus"] == "Failed"
        assert "'work'" in status["output"]
        assert_all_done(site, caller, {"echo": "Failed"})


def test_what_a_suspension_holds_back_survives_a_death_in_the_turn_that_takes_it(
    site: Site,
) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.start("journey", "held")
        wait_for_approval_point(caller, "held")
        caller.command_until("held", "suspend", "Suspended")
        caller.arm("turn.after_commit")
        approve(caller, "held")
        wait_for(lambda: victims.deaths or not caller.is_answered(), "the death")
        caller.wait_until("held", lambda status: status["runtimeStatus"] == "Suspended")
        caller.command_until("held", "resume", "Running", "Completed")
        caller.wait_for_end("held")

        assert_nothing_lost(site, caller, ["held"], deaths=1)


def test_a_fan_out_is_stored_as_a_whole_and_each_call_gives_one_result(site: Site) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.arm("activity.after_run:700")
        caller.start("crowd", "crowd", 1000)
        caller.wait_for_end("crowd")
        settle(site, caller)

        assert len(victims.deaths) == 1
        assert_sound(site, "crowd")
        assert caller.wait_for_end("crowd")["output"] == 1000

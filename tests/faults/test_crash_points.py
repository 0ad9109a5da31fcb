"""A real process is killed at every crash point, and nothing acknowledged is lost or done twice."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest
from faults.journeys import Caller, Site, assert_nothing_lost, travel
from support.process import is_alive, wait_for

from func_py.durable.faults import POINTS
from func_py.durable.model import ExecutionStarted, HistoryEvent

pytestmark = pytest.mark.faults

_AT_START = ["store.schema_half", "host.acquired"]
"""Points that a host passes before it is ready, and only then."""

_OF_ENTITIES = ["entity.before_run", "entity.after_run"]
"""Points that no journey passes."""

_LATER = {
    "store.before_commit": [4, 11],
    "store.after_commit": [4, 11],
    "client.after_create": [3],
    "client.after_send": [2],
    "turn.before_code": [7],
    "turn.after_code": [7],
    "turn.after_commit": [7],
    "activity.before_run": [6],
    "activity.after_run": [6],
    "timer.fired": [3],
}
"""Hits after the first one that are worth a death as well."""

_TARGETS = [
    f"{point}:{hit}"
    for point in POINTS
    if point not in (*_AT_START, *_OF_ENTITIES)
    for hit in [1, *_LATER[point]]
]

JOURNEYS = [f"journey-{number}" for number in range(4)]


@pytest.mark.parametrize("target", _TARGETS)
def test_a_host_killed_at_work_loses_nothing_and_repeats_nothing(site: Site, target: str) -> None:
    with site.host() as host:
        caller = Caller(host)
        caller.arm(target)
        travel(caller, JOURNEYS)

        assert host.output.count("was killed by SIGKILL") == 1
        assert_nothing_lost(site, caller, JOURNEYS, deaths=1)


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
    with site.host() as host:
        caller = Caller(host)
        child = host.child_pid()
        caller.arm(target)
        host.send(signal.SIGSTOP)  # the supervisor: it starts no other process for now
        answer = caller.try_start("journey", "one")
        wait_for(lambda: not is_alive(child), "the death")

        assert (answer is None) or "one" in site.hub.statuses()
        assert {step for _, step, _ in site.runs()} <= site.scheduled_steps("one")
        host.send(signal.SIGCONT)
        travel(caller, ["one"] if answer is None else [])
        travel(caller, ["other"])


@pytest.mark.parametrize(
    "target", ["store.schema_half", "store.before_commit", "store.after_commit", "host.acquired"]
)
def test_a_host_killed_at_its_first_start_leaves_a_hub_that_works(site: Site, target: str) -> None:
    site.start_and_die(target)
    with site.host() as host:
        caller = Caller(host)
        travel(caller, JOURNEYS[:1])

        assert_nothing_lost(site, caller, JOURNEYS[:1], deaths=0)


@pytest.mark.parametrize(
    "target",
    ["store.after_commit:2", "host.acquired", "store.after_commit:5"],
    ids=["entered", "acquired", "half recovered"],
)
def test_hosts_killed_while_they_take_over_lose_nothing(site: Site, target: str) -> None:
    with site.host() as host:
        caller = Caller(host)
        for instance_id in JOURNEYS:
            caller.start("journey", instance_id)
    site.start_and_die(target)
    with site.host() as host:
        caller = Caller(host)
        for instance_id in JOURNEYS:
            caller.approve(instance_id)
        for instance_id in JOURNEYS:
            caller.wait_for_end(instance_id)

        assert_nothing_lost(site, caller, JOURNEYS, deaths=2)


def test_thirty_journeys_cut_off_at_once_are_finished_by_the_next_host(site: Site) -> None:
    journeys = [f"journey-{number}" for number in range(30)]
    with site.host() as host:
        caller = Caller(host)
        for instance_id in journeys:
            caller.start("journey", instance_id)
        for instance_id in journeys[::3]:
            caller.approve(instance_id)
        host.kill()  # the whole group
    with site.host() as host:
        # It owns everything as soon as it is ready: there is no lease to wait for.
        assert site.hub.owners() == site.hub.hosts()
        assert len(site.hub.hosts()) == 1

        after = Caller(host)
        after.events = caller.events
        for instance_id in journeys:
            if instance_id not in caller.events:
                after.approve(instance_id)
        for instance_id in journeys:
            after.wait_for_end(instance_id)

        assert_nothing_lost(site, after, journeys, deaths=1)


def test_a_suspension_and_what_it_holds_back_survive_the_death_of_the_host(site: Site) -> None:
    with site.host() as host:
        caller = Caller(host)
        caller.start("journey", "held")
        caller.wait_for_approval_point("held")
        caller.arm("client.after_send")
        assert caller.command("held", "suspend") is None
        caller.wait_until("held", lambda s: s["runtimeStatus"] == "Suspended")

        caller.arm("turn.after_commit")
        caller.approve("held")
        wait_for(lambda: host.output.count("was killed by SIGKILL") == 2, "the second death")
        caller.wait_until("held", lambda s: s["runtimeStatus"] == "Suspended")
        answer = caller.command("held", "resume")
        assert answer is not None
        assert answer.status == 202
        caller.wait_for_end("held")

        assert_nothing_lost(site, caller, ["held"], deaths=2)


@pytest.mark.parametrize("point", ["store.before_commit", "store.after_commit"])
def test_a_purge_that_was_cut_off_left_everything_or_nothing(site: Site, point: str) -> None:
    with site.host() as host:
        caller = Caller(host)
        travel(caller, ["purged", "other"])
        wait_for(lambda: not site.hub.has_work_left(), "the last rows of work to be deleted")
        caller.arm(point)
        assert caller.purge("purged") is None
        caller.status("other")  # the host is back

        traces = [site.hub.count(table, "purged") for table in ("instances", "origins", "history")]
        assert all(traces) if point == "store.before_commit" else not any(traces)
        assert site.hub.statuses()["other"] == "Completed"


@pytest.mark.parametrize(
    ("point", "is_replaced"),
    [
        ("store.before_commit", False),
        ("store.after_commit", True),
        ("client.after_create", True),
    ],
)
def test_a_finished_instance_is_replaced_as_a_whole_or_not_at_all(
    site: Site, point: str, is_replaced: bool
) -> None:
    with site.host() as host:
        caller = Caller(host)
        travel(caller, ["again"])
        before = execution_of(site.hub.history("again"))
        caller.arm(point)
        caller.start("journey", "again")

        if is_replaced:
            caller.events.clear()
            caller.approve("again")
            caller.wait_for_end("again")
        after = execution_of(site.hub.history("again"))
        assert (after != before) is is_replaced
        assert_nothing_lost(site, caller, ["again"], deaths=2)


def execution_of(history: Sequence[HistoryEvent]) -> list[str]:
    """The execution id in a history."""
    return [e.execution_id for e in history if isinstance(e, ExecutionStarted)]

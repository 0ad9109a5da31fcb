"""Work that kills its process is found out and not run again; the rest of the app goes on."""

from __future__ import annotations

import pytest
from faults.caller import Caller, HttpHost
from faults.journeys import approve, travel
from faults.judging import of, settle
from faults.site import Site

from func_py.durable.model import ExecutionCompleted, TaskCompleted, TaskFailed, TaskScheduled

pytestmark = pytest.mark.faults

_DEATHS = 3
_REASON = "was running each of the last three times the host process died"


def test_an_activity_that_kills_its_process_fails_and_the_others_succeed(site: Site) -> None:
    with site.func_py_start() as process:
        caller = Caller(HttpHost(process))
        caller.start("company", "poisoned", "exit")
        status = caller.wait_for_end("poisoned")

        assert process.output.count("Starting a new one") == _DEATHS
    assert_only_the_poison_failed(site, status["output"])


def test_an_activity_killed_from_outside_each_time_fails_and_innocents_go_on(site: Site) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.start("company", "poisoned", "kill")
        caller.start("journey", "innocent")
        status = caller.wait_for_end("poisoned")
        approve(caller, "innocent")
        innocent = caller.wait_for_end("innocent")

        assert len(victims.deaths) == _DEATHS
        assert innocent["runtimeStatus"] == "Completed"
        settle(site, caller)
    assert_only_the_poison_failed(site, status["output"])


def assert_only_the_poison_failed(site: Site, output: str) -> None:
    assert f"The activity 'kill_process' {_REASON}" in output
    history = site.hub.history("poisoned")
    word_of = {call.task_id: call.name for call in of(history, TaskScheduled)}
    assert [word_of[event.task_id] for event in of(history, TaskFailed)] == ["kill_process"]
    assert [word_of[event.task_id] for event in of(history, TaskCompleted)] == ["work"] * 3
    assert not site.hub.has_work_left()


@pytest.mark.parametrize("when", ["at once", "later"])
def test_an_orchestrator_that_kills_its_process_fails_and_the_others_go_on(
    site: Site, when: str
) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.start("lethal", "poisoned", when)
        caller.start("journey", "innocent")
        status = caller.wait_for_end("poisoned")
        approve(caller, "innocent")
        innocent = caller.wait_for_end("innocent")

        assert len(victims.deaths) == _DEATHS
        travel(caller, ["afterwards"])
        settle(site, caller)

    assert innocent["runtimeStatus"] == "Completed"
    assert status["runtimeStatus"] == "Failed"
    assert f"The orchestrator {_REASON}" in status["output"]
    assert len(of(site.hub.history("poisoned"), ExecutionCompleted)) == 1


def test_an_operation_that_kills_its_process_fails_and_the_entity_goes_on(site: Site) -> None:
    with site.victims() as victims:
        caller = Caller(victims)
        caller.start("assassin", "poisoned")
        status = caller.wait_for_end("poisoned")

        assert len(victims.deaths) == _DEATHS
        assert caller.entries("book") == [["poisoned", 0], ["poisoned", 1]]
        settle(site, caller)
    assert status["runtimeStatus"] == "Completed"
    assert f"The operation 'kill' {_REASON}" in status["output"]

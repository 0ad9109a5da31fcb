"""Work that kills its process is found out and not run again; the rest of the app goes on."""

from __future__ import annotations

import pytest
from faults.journeys import Caller, Site, travel

from func_py.durable.model import ExecutionCompleted, TaskCompleted, TaskFailed, TaskScheduled

pytestmark = pytest.mark.faults

_DEATHS = 3
_REASON = "was running each of the last three times the host process died"


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_an_activity_that_kills_its_process_fails_and_the_others_succeed(
    site: Site, how: str
) -> None:
    with site.host() as host:
        caller = Caller(host)
        caller.start("company", "poisoned", how)
        caller.start("journey", "innocent")
        status = caller.wait_for_end("poisoned")
        caller.approve("innocent")
        innocent = caller.wait_for_end("innocent")

        assert host.output.count("Starting a new one") == _DEATHS

    assert status["runtimeStatus"] == innocent["runtimeStatus"] == "Completed"
    assert f"The activity 'kill_process' {_REASON}" in status["output"]
    history = site.hub.history("poisoned")
    word_of = {e.task_id: e.name for e in history if isinstance(e, TaskScheduled)}
    failed = [e for e in history if isinstance(e, TaskFailed)]
    completed = [word_of[e.task_id] for e in history if isinstance(e, TaskCompleted)]
    assert [word_of[e.task_id] for e in failed] == ["kill_process"]
    assert completed == ["work"] * 3
    assert not site.hub.has_work_left()


@pytest.mark.parametrize("when", ["at once", "later"])
def test_an_orchestrator_that_kills_its_process_fails_and_the_others_go_on(
    site: Site, when: str
) -> None:
    with site.host() as host:
        caller = Caller(host)
        caller.start("lethal", "poisoned", when)
        caller.start("journey", "innocent")
        status = caller.wait_for_end("poisoned")
        caller.approve("innocent")
        innocent = caller.wait_for_end("innocent")

        assert host.output.count("Starting a new one") == _DEATHS
        travel(caller, ["afterwards"])

    assert innocent["runtimeStatus"] == "Completed"
    assert status["runtimeStatus"] == "Failed"
    assert f"The orchestrator {_REASON}" in status["output"]
    ended = [e for e in site.hub.history("poisoned") if isinstance(e, ExecutionCompleted)]
    assert len(ended) == 1
    assert not site.hub.has_work_left()


def test_an_operation_that_kills_its_process_fails_and_the_entity_goes_on(site: Site) -> None:
    with site.host() as host:
        caller = Caller(host)
        caller.start("assassin", "poisoned")
        status = caller.wait_for_end("poisoned")

        assert host.output.count("Starting a new one") == _DEATHS
        assert caller.entries("book") == [["poisoned", 0], ["poisoned", 1]]

    assert status["runtimeStatus"] == "Completed"
    assert f"The operation 'kill' {_REASON}" in status["output"]
    assert not site.hub.has_work_left()

"""The same through `func-py start`: the supervisor replaces the process that was killed."""

from __future__ import annotations

import pytest
from faults.caller import Caller, HttpHost
from faults.journeys import assert_nothing_lost, travel
from faults.site import Site

pytestmark = pytest.mark.faults

JOURNEYS = [f"journey-{number}" for number in range(4)]


@pytest.mark.parametrize(
    "target",
    [
        "store.before_commit:11",
        "client.after_create:3",
        "turn.after_commit:7",
        "activity.after_run",
    ],
)
def test_a_host_killed_at_work_loses_nothing_and_repeats_nothing(site: Site, target: str) -> None:
    with site.func_py_start() as process:
        caller = Caller(HttpHost(process))
        caller.arm(target)
        travel(caller, JOURNEYS)

        assert process.output.count("was killed by SIGKILL") == 1
        assert_nothing_lost(site, caller, JOURNEYS, deaths=1)


def test_a_host_killed_at_its_first_start_leaves_a_hub_that_works(site: Site) -> None:
    site.start_and_die("host.acquired")
    with site.func_py_start() as process:
        caller = Caller(HttpHost(process))
        travel(caller, JOURNEYS[:1])

        assert_nothing_lost(site, caller, JOURNEYS[:1], deaths=0)

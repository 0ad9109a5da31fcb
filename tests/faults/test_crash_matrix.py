"""Victims are killed at every passage of every crash point; the scenarios judge what is left."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import pytest
from faults.caller import Caller
from faults.scenarios import AT_START, ON_AZURE, SCENARIOS, Trial
from faults.site import Site
from faults.victims import WarmParent

from func_py.durable.faults import POINTS

pytestmark = pytest.mark.faults


def test_every_crash_point_is_passed_by_a_scenario_or_at_the_start_of_a_host() -> None:
    passed = {point for scenario in SCENARIOS.values() for point in scenario.points}

    assert passed | AT_START | ON_AZURE == POINTS.keys()


@pytest.mark.parametrize(
    ("name", "point"),
    [(name, point) for name, scenario in SCENARIOS.items() for point in scenario.points],
)
def test_a_death_at_any_passage_of_a_crash_point_does_no_harm(
    tmp_path: Path, warm_parent: WarmParent, name: str, point: str
) -> None:
    scenario = SCENARIOS[name]
    for passage in count(1):
        folder = tmp_path / str(passage)
        folder.mkdir()
        site = Site(folder, warm_parent)
        with site.victims() as victims:
            caller = Caller(victims)
            if passage <= scenario.passages:
                caller.arm(f"{point}:{passage}")
            scenario.play(Trial(site, victims, caller))
            assert victims.complaints == []
            died = bool(victims.deaths)
        assert died or passage > 1, f"{name} does not pass {point}"
        if not died:
            return
        shutil.rmtree(folder)

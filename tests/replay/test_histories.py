"""Histories of earlier versions still replay, to the end they had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from replay.make_histories import FOLDER, SCENARIOS, outlook, recovered
from support.orchestrations import FIXED

from func_py.durable.model import ExecutionCompleted, decode_events
from func_py.durable.replay import Session, verify
from func_py.durable.replay.decisions import Complete, ContinueAsNew, Decision, Fail

KEPT = sorted(FOLDER.glob("*.json"))
OPEN = [path for path in KEPT if '"outlook"' in path.read_text(encoding="utf-8")]
ENDED = [path for path in KEPT if path not in OPEN]


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def text_of(decision: Decision) -> str | None:
    match decision:
        case Complete():
            return decision.output
        case ContinueAsNew():
            return decision.input
        case Fail():
            return decision.failure.message
        case _:
            raise AssertionError(f"{decision} is no end")


def test_every_scenario_has_its_history() -> None:
    assert sorted(SCENARIOS) == [path.stem for path in KEPT]


@pytest.mark.parametrize("path", ENDED, ids=lambda path: path.stem)
def test_a_kept_history_replays_without_a_difference(path: Path) -> None:
    kept = load(path)
    history = decode_events(json.dumps(kept["history"]))

    assert verify(FIXED[kept["orchestrator"]], kept["instance_id"], history) is None


@pytest.mark.parametrize("path", ENDED, ids=lambda path: path.stem)
def test_a_kept_history_without_its_end_leads_to_the_same_end(path: Path) -> None:
    kept = load(path)
    history = decode_events(json.dumps(kept["history"]))
    (end,) = (event for event in history if isinstance(event, ExecutionCompleted))
    session = Session(FIXED[kept["orchestrator"]], kept["instance_id"])

    session.feed(history[: history.index(end)], played=True)

    *_, decision = session.take_decisions()
    assert end.result == text_of(decision)


@pytest.mark.parametrize("path", OPEN, ids=lambda path: path.stem)
def test_a_kept_history_whose_last_turn_is_open_goes_on_as_it_did(path: Path) -> None:
    kept = load(path)
    history = decode_events(json.dumps(kept["history"]))

    session = recovered(FIXED[kept["orchestrator"]], history)

    assert outlook(session) == kept["outlook"]

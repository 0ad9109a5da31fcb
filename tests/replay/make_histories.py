"""Write the histories that every later version must be able to replay.

Run it from `tests` as `python -m replay.make_histories NAME`, once for each new scenario: a history
that is kept is never written again, since it stands for instances that began under older versions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from replay.host import INSTANCE, Host
from support.orchestrations import FIXED

from func_py.durable.model import encode_events

FOLDER = Path(__file__).parent / "histories"


def _host(name: str, value: Any = None) -> Host:
    host = Host(FIXED[name], value)
    host.start()
    return host


def _chain() -> Host:
    host = _host("chain", {"city": "Zürich"})
    for step in range(3):
        host.turn(host.answer(step, f"result {step}"))
    return host


def _fan_out() -> Host:
    host = _host("fan_out", 5)
    host.turn(host.answer(3, 9), host.answer(0, 0))
    host.turn(host.answer(4, 16))
    host.turn(host.answer(1, 1), host.answer(2, 4))
    return host


def _approval_given() -> Host:
    host = _host("approval")
    host.turn(host.event("Approval", {"by": "Ada"}))
    return host


def _approval_timed_out() -> Host:
    host = _host("approval")
    host.turn(host.event("Unrelated"))
    host.turn(host.answer(0))
    return host


def _approval_while_suspended() -> Host:
    host = _host("approval")
    host.turn(host.suspend())
    host.turn(host.event("approval", "yes"), host.answer(0))
    host.turn(host.resume())
    return host


def _retries_exhausted() -> Host:
    host = _host("retried")
    for attempt in range(3):
        host.turn(host.answer(2 * attempt, error="no"))
        host.turn(host.answer(2 * attempt + 1))
    return host


def _second_attempt_succeeds() -> Host:
    host = _host("retried")
    host.turn(host.answer(0, error="no"))
    host.turn(host.answer(1))
    host.turn(host.answer(2, "fine"))
    return host


def _bank() -> Host:
    host = _host("bank")
    host.turn(host.answer(0, 40))
    host.turn(host.answer(2, {"rows": 3}))
    host.turn(host.answer(3, {"statusCode": 200, "headers": {}, "content": "ok"}))
    return host


def _counter() -> Host:
    host = _host("counter", 41)
    host.turn(host.event("Add", 1), host.event("Add", 2))
    return host


def _raising() -> Host:
    host = _host("raising")
    host.turn(host.answer(0))
    return host


SCENARIOS: dict[str, tuple[str, Callable[[], Host]]] = {
    "chain": ("chain", _chain),
    "fan_out": ("fan_out", _fan_out),
    "approval_given": ("approval", _approval_given),
    "approval_timed_out": ("approval", _approval_timed_out),
    "approval_while_suspended": ("approval", _approval_while_suspended),
    "retries_exhausted": ("retried", _retries_exhausted),
    "second_attempt_succeeds": ("retried", _second_attempt_succeeds),
    "bank": ("bank", _bank),
    "counter": ("counter", _counter),
    "raising": ("raising", _raising),
}


def write(name: str) -> None:
    """Run a scenario and keep its history; refuses to replace one that is kept."""
    orchestrator, run = SCENARIOS[name]
    host = run()
    document = {
        "orchestrator": orchestrator,
        "instance_id": INSTANCE,
        "history": json.loads(encode_events(host.history)),
    }
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.json").open("x", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write(each)

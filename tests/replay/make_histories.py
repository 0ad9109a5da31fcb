"""Write the histories that every later version must be able to replay.

Run it from `tests` as `python -m replay.make_histories NAME`, once for each new scenario: a history
that is kept is never written again, since it stands for instances that began under older versions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from replay.host import EXECUTION, INSTANCE, Host
from support.orchestrations import FIXED, Orchestrator

from func_py.durable.engine.loader import closed_turns
from func_py.durable.engine.rewind import rewinding_turn
from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    ExecutionRewound,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    RuntimeStatus,
    TaskCompleted,
    encode_events,
    pending_state,
)
from func_py.durable.replay import Session, encode_start_input
from func_py.durable.replay.decisions import ContinueAsNew
from func_py.durable.replay.matching import describe
from func_py.durable.storage.base import Lease

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


def _ledger_refused() -> Host:
    host = _host("ledger")
    host.turn(host.answer(2, 5))
    host.turn(host.answer(1, error="no money"))
    host.turn(host.answer(4, 0))
    return host


def _no_answer_over_http() -> Host:
    host = _host("fetching")
    host.turn(host.answer(0, error="Activity function 'BuiltIn::HttpActivity' failed:  OSError: "))
    host.turn(host.answer(1, {"statusCode": 404, "headers": {}, "content": ""}))
    return host


def _generation_opened() -> Host:
    """As continue-as-new leaves it: the next generation has an event and has not run."""
    host = _counter()
    (asked,) = host.decisions
    assert isinstance(asked, ContinueAsNew)
    host.history = [
        OrchestratorStarted(timestamp=host.now),
        ExecutionStarted(
            timestamp=host.now,
            name="orchestrator",
            execution_id="execution-2",
            input=encode_start_input(asked.input),
        ),
        *host.session.undelivered(),
    ]
    return host


def _generation_run() -> Host:
    host = _generation_opened()
    host.run_opened()
    return host


def _rewind(host: Host) -> Host:
    """Rewind a failed instance, as the engine does; its last turn is open then."""
    (start,) = (event for event in host.history if isinstance(event, ExecutionStarted))
    state = replace(pending_state(INSTANCE, start), status=RuntimeStatus.FAILED)
    asked = ExecutionRewound(timestamp=host.now, message_id="rewind", reason="mended")
    item = Item(asked, EXECUTION, message_id="rewind")
    turn = rewinding_turn(Lease(0, 1), None, state, host.history, [item], asked, host.now)
    host.history = list(turn.events)
    return host


def _rewound_to_a_call() -> Host:
    host = _host("chain", 1)
    host.turn(host.answer(0, 2))
    host.turn(host.answer(1, error="not now"))
    return _rewind(host)


def _rewound_and_completed() -> Host:
    host = _rewound_to_a_call()
    host.run_opened()
    host.turn(TaskCompleted(timestamp=host.now, task_id=1, result="3"))
    host.turn(host.answer(2, 4))
    return host


def _rewound_beside_answers() -> Host:
    host = _host("fan_out", 4)
    host.turn(host.answer(1, 1))
    host.turn(host.answer(0, 0), host.answer(2, error="not now"), host.answer(3, 9))
    return _rewind(host)


def _rewound_to_the_same_exception() -> Host:
    return _rewind(_raising())


def outlook(session: Session) -> dict[str, Any]:
    """What the code asks for and waits for, in words: of a history whose last turn is open."""
    asks = [describe(decision) for decision in session.take_decisions()]
    return {"asks": asks, "waits_for": session.waiting_for()}


def recovered(function: Orchestrator, history: Sequence[HistoryEvent]) -> Session:
    """A session that has run the open turn of a history."""
    closed = closed_turns(history)
    session = Session(function, INSTANCE)
    session.feed(history[:closed], played=True)
    session.feed(history[closed:], played=False)
    return session


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
    "ledger_refused": ("ledger", _ledger_refused),
    "no_answer_over_http": ("fetching", _no_answer_over_http),
    "generation_opened": ("counter", _generation_opened),
    "generation_run": ("counter", _generation_run),
    "rewound_to_a_call": ("chain", _rewound_to_a_call),
    "rewound_and_completed": ("chain", _rewound_and_completed),
    "rewound_beside_answers": ("fan_out", _rewound_beside_answers),
    "rewound_to_the_same_exception": ("raising", _rewound_to_the_same_exception),
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
    if closed_turns(host.history) < len(host.history):
        document["outlook"] = outlook(recovered(FIXED[orchestrator], host.history))
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.json").open("x", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write(each)

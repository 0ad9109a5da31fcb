"""Named crash points: places where a death matters, for the tests that cause one there.

`reach(name)` costs one attribute check in production. An app process that starts with
FUNC_PY_CRASH_AT set to `name` or `name:n` (the n-th time it is reached) is killed there with
SIGKILL; so is one in which a test calls `arm`. A process started in its place counts anew in the
first case and knows nothing in the second.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

POINTS: dict[str, str] = {
    "store.before_commit": "a group of writes is complete but not durable",
    "store.after_commit": "a group of writes is durable, nobody has been told",
    "store.schema_half": "half of the schema of a new hub exists",
    "client.after_create": "an instance is stored, its caller has not been answered",
    "client.after_send": "an event is stored, its caller has not been answered",
    "turn.before_code": "messages were taken into a turn, user code has not run",
    "turn.after_code": "user code ran, nothing of its decisions is stored",
    "turn.after_commit": "the turn is durable, no activity started, no message was delivered",
    "activity.before_run": "an activity is about to run",
    "activity.after_run": "an activity ran, its result is nowhere but in memory",
    "entity.before_run": "operations were taken into a turn, user code has not run",
    "entity.after_run": "operations ran, nothing of their effect is stored",
    "timer.fired": "a timer was due, the turn it causes has not run",
    "host.acquired": "partitions were acquired, nothing has been recovered",
    "azure.row_without_start": "an instance has its row, its start message is not sent",
    "azure.sent": "what a turn sends is in its queues, its history is not written",
    "azure.between_batches": "some batches of a turn's history are written, others are not",
    "azure.history_written": "a turn's history is written, its row is not",
    "azure.row_written": "a turn is written, what it consumed is in its queues still",
    "azure.result_without_delete": "an activity's result is sent, the activity is in its queue",
}
"""Every crash point and what is true there."""


def _killer(target: str) -> Callable[[str], None]:
    name, _, count = target.partition(":")
    if name not in POINTS:
        raise ValueError(f"FUNC_PY_CRASH_AT names no crash point: {name}")
    left = int(count or "1")

    def check(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return check


_check: Callable[[str], None] | None = None


def arm(target: str) -> None:
    """Make this process die at a crash point; empty disarms. For tests only."""
    global _check
    _check = _killer(target) if target else None


def reach(point: str) -> None:
    """Note that execution passes a crash point."""
    if _check is not None:
        _check(point)

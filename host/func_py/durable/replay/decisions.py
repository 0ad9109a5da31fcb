"""Decisions: what an orchestrator's code wants done, as data. The engine carries them out."""

from __future__ import annotations

from datetime import datetime

import msgspec

from func_py.durable.model import FailureDetails

HTTP_ACTIVITY_NAME = "BuiltIn::HttpActivity"
"""Name under which history records a durable HTTP call (a TaskScheduled, as on the wire)."""


class ScheduleActivity(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Call an activity. `input` is JSON text. Also each further attempt of a call with retry."""

    task_id: int
    name: str
    input: str | None


class CreateTimer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Fire at `fire_at` (aware UTC). Also the back-off timers of a call with retry."""

    task_id: int
    fire_at: datetime


class CancelTimer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The code cancelled a timer that had not fired. Leaves no history event."""

    task_id: int


class StartChild(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a sub-orchestration. `instance_id` None: the engine derives one.

    `input` is the code's JSON text; `inputs.encode_start_input` gives its stored form.
    """

    task_id: int
    name: str
    input: str | None
    instance_id: str | None = None
    version: str | None = None


class CallEntity(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send an operation to an entity and wait. The answer is an EventRaised named `request_id`."""

    task_id: int
    instance_id: str
    operation: str
    input: str | None
    request_id: str


class SignalEntity(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send an operation to an entity, one way."""

    task_id: int
    instance_id: str
    operation: str
    input: str | None
    request_id: str


class CallHttp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make a durable HTTP call. `request` is the SDK's request as JSON text."""

    task_id: int
    request: str


class Complete(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The code returned. `output` is JSON text, None for no output."""

    output: str | None


class Fail(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The code raised, or cannot be replayed. `failure.message` is the SDK's error text."""

    failure: FailureDetails


class ContinueAsNew(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start over with an empty history.

    `input` is the code's JSON text; `inputs.encode_start_input` gives its stored form.
    """

    input: str | None


Request = ScheduleActivity | CreateTimer | StartChild | CallEntity | SignalEntity | CallHttp
"""What takes a task id and leaves an event in history."""

Outcome = Complete | Fail | ContinueAsNew
"""How the code ended."""

Decision = Request | CancelTimer | Outcome

"""History events: the facts of one execution, in the order they happened.

Events are frozen msgspec structs; `encode_events`/`decode_events` are their stored form (a JSON
array of objects tagged `type`). Values of user code (`input`, `result`) are JSON text that passes
through unparsed. Names and meaning are DurableTask's; wire numbers live where they are mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace


class RuntimeStatus(StrEnum):
    """Status of an instance, literal as on the wire."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    FAILED = "Failed"
    CANCELED = "Canceled"
    TERMINATED = "Terminated"
    SUSPENDED = "Suspended"

    def __init__(self, text: str) -> None:
        self.is_terminal = text in {"Completed", "Failed", "Canceled", "Terminated"}
        """No turn runs any more; only start, restart, rewind and purge act on it."""


class FailureDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong in user code. `type` is the Python type's name, `stack` its traceback."""

    type: str
    message: str
    stack: str = ""
    inner: FailureDetails | None = None


class ParentLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a child orchestration answers: the parent's execution and the task that waits."""

    instance_id: str
    execution_id: str
    name: str
    task_id: int


class TraceContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """W3C trace context of whoever caused the event."""

    trace_parent: str
    trace_state: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Common to all events.

    `timestamp` is aware UTC with microseconds and is replayed exactly. `message_id` names the
    message that brought the event (empty for what the turn itself wrote); a message whose id is in
    history has been delivered already.
    """

    timestamp: datetime
    message_id: str = ""


class OrchestratorStarted(Event, frozen=True, kw_only=True, tag="OrchestratorStarted"):
    """Opens a turn; its timestamp is the turn's current_utc_datetime."""


class OrchestratorCompleted(Event, frozen=True, kw_only=True, tag="OrchestratorCompleted"):
    """Closes a turn."""


class LongTimers(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution cuts timers into parts, each with events of its own in the history."""

    longest: timedelta
    """Timers that are due later than this are cut."""
    interval: timedelta
    """Length of a part; the last one may be as long as `longest`."""


class ExecutionStarted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionStarted"
):
    """The start of an execution. `input`: the stored JSON text, None for no input."""

    name: str
    execution_id: str
    input: str | None = None
    version: str | None = None
    parent: ParentLink | None = None
    tags: dict[str, str] | None = None
    trace: TraceContext | None = None
    long_timers: LongTimers | None = None
    """For all of its life, wherever it is moved to; None: its timers are whole."""


class ExecutionCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionCompleted"
):
    """The end of an execution. `result`: JSON text (or plain text of an error or a reason)."""

    status: RuntimeStatus
    result: str | None = None
    failure: FailureDetails | None = None


class ExecutionTerminated(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionTerminated"
):
    """A client asked to terminate; `reason` becomes the output."""

    reason: str | None = None
    recursive: bool = False
    """Also end the sub-orchestrations that have not ended."""


class ExecutionSuspended(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionSuspended"
):
    """From here all but Resumed and Terminated waits."""

    reason: str | None = None


class ExecutionResumed(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionResumed"
):
    """What waited since Suspended is played now, in order."""

    reason: str | None = None


class ExecutionRewound(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutionRewound"
):
    """A failed execution is to go on from before its failure.

    `parent` is set when a parent that is rewound itself asks: whom the child answers from now on.
    """

    reason: str | None = None
    parent: ParentLink | None = None


class TaskScheduled(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TaskScheduled"):
    """An activity call. `input`: the JSON text the SDK produced."""

    task_id: int
    name: str
    input: str | None = None


class TaskCompleted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TaskCompleted"):
    """An activity returned. `result`: JSON text."""

    task_id: int
    result: str | None = None


class TaskFailed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TaskFailed"):
    """An activity raised. `reason` and `details` are what the SDK shows the orchestrator."""

    task_id: int
    reason: str
    details: str | None = None
    failure: FailureDetails | None = None


class SubOrchestrationCreated(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="SubOrchestrationInstanceCreated"
):
    """A child orchestration was started under `instance_id`."""

    task_id: int
    name: str
    instance_id: str
    input: str | None = None
    version: str | None = None


class SubOrchestrationCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="SubOrchestrationInstanceCompleted"
):
    """A child returned. `result`: JSON text."""

    task_id: int
    result: str | None = None


class SubOrchestrationFailed(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="SubOrchestrationInstanceFailed"
):
    """A child failed or was terminated."""

    task_id: int
    reason: str
    details: str | None = None
    failure: FailureDetails | None = None


class TimerCreated(Event, frozen=True, kw_only=True, tag="TimerCreated"):
    """A durable timer, due at `fire_at` (aware UTC)."""

    task_id: int
    fire_at: datetime


class TimerFired(Event, frozen=True, kw_only=True, tag="TimerFired"):
    """The timer of `task_id` was due."""

    task_id: int
    fire_at: datetime


class EventSent(Event, frozen=True, kw_only=True, omit_defaults=True, tag="EventSent"):
    """A message to an entity or instance. `input` of an entity request carries its id."""

    task_id: int
    instance_id: str
    name: str
    input: str | None = None


class EventRaised(Event, frozen=True, kw_only=True, omit_defaults=True, tag="EventRaised"):
    """An external event (or an entity's answer). `input`: the body as received, JSON text."""

    name: str
    input: str | None = None


class GenericEvent(Event, frozen=True, kw_only=True, tag="GenericEvent"):
    """Says nothing; as a message it has its instance run a turn."""


HistoryEvent = (
    OrchestratorStarted
    | OrchestratorCompleted
    | ExecutionStarted
    | ExecutionCompleted
    | ExecutionTerminated
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionRewound
    | TaskScheduled
    | TaskCompleted
    | TaskFailed
    | SubOrchestrationCreated
    | SubOrchestrationCompleted
    | SubOrchestrationFailed
    | TimerCreated
    | TimerFired
    | EventSent
    | EventRaised
    | GenericEvent
)


def without_payload(event: HistoryEvent, limit: int) -> HistoryEvent | None:
    """The event without its input or result; None when that has no more than `limit` characters."""
    match event:
        case ExecutionStarted(input=str(text)) | EventRaised(input=str(text)):
            return replace(event, input=None) if len(text) > limit else None
        case TaskCompleted(result=str(text)) | SubOrchestrationCompleted(result=str(text)):
            return replace(event, result=None) if len(text) > limit else None
        case _:
            return None


_encoder = msgspec.json.Encoder()
_list_decoder: msgspec.json.Decoder[list[HistoryEvent]] = msgspec.json.Decoder(list[HistoryEvent])


def encode_events(events: Sequence[HistoryEvent]) -> bytes:
    """The stored form of a run of events: a JSON array, UTF-8."""
    return _encoder.encode(events)


def decode_events(data: bytes | str) -> list[HistoryEvent]:
    """Read back what `encode_events` wrote; raises msgspec.ValidationError for anything else."""
    return _list_decoder.decode(data)

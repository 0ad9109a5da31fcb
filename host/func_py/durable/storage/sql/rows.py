"""Between the values of the contract and the columns of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from func_py.durable.model import (
    ActivityTask,
    EntityState,
    ExecutionStarted,
    FailureDetails,
    HistoryEvent,
    InstanceState,
    Message,
    ParentLink,
    RuntimeStatus,
    TimerTask,
    TraceContext,
    decode_event,
    decode_events,
    encode_events,
)
from func_py.durable.storage.base import HostRecord, Mail
from func_py.durable.storage.sql.queries import Row

EVENTS_PER_ROW = 256
_ROW_CHARACTERS = 128 * 1024
"""A longer run of events is stored as several rows, so that no row, and no page of them, grows
without bound."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_encode = msgspec.json.Encoder().encode


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of an instance's record that an execution is born with: seldom written."""

    name: str
    version: str | None = None
    input: str | None = None
    parent: ParentLink | None = None
    tags: dict[str, str] | None = None
    trace: TraceContext | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part that turns change."""

    last_updated_at: datetime
    completed_at: datetime | None = None
    output: str | None = None
    custom_status: str | None = None
    failure: FailureDetails | None = None
    entity: EntityState | None = None


class SqlToken(msgspec.Struct, frozen=True):
    """The instance fence: a record's number is never used again, its count of turns only grows.

    It also carries what the next turn needs to know of the stored row.
    """

    number: int
    turns: int
    execution_id: str
    history_length: int
    origin: Origin


class HistoryPosition(msgspec.Struct, frozen=True):
    """A place in the history of one execution: before the event of that number, from 0.

    `turns`: of the record when the first page was read, for a reader that needs one moment.
    """

    number: int
    execution_id: str
    turns: int | None
    event: int

    def is_of(self, number: int, execution_id: str, turns: int) -> bool:
        """Is this a place in the history of the record that is stored now?"""
        is_same = (self.number, self.execution_id) == (number, execution_id)
        return is_same and self.turns in (None, turns)

    def after(self, events: Sequence[HistoryEvent], length: int) -> HistoryPosition | None:
        """The place after these events; None at the end of a history of that length."""
        event = self.event + len(events)
        return replace(self, event=event) if events and event < length else None


class _Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an activity row holds beside its key."""

    name: str
    input: str | None = None
    trace: TraceContext | None = None


InstanceRow: TypeAlias = tuple[int, str, str, int, int, int, str, str, str, str | None, str | None]
"""number, instance id, execution id, turns, history length, created at, status, progress, origin;
input and output where they are large"""

MessageRow: TypeAlias = tuple[str, str, str, str, str, int, int | None, str | None, str | None]
"""id, instance id, execution id, sender, event, whether that is without its payload; number,
execution id and origin of the target when it has had no turn yet"""

TimerRow: TypeAlias = tuple[str, str, int, int]
"""instance id, execution id, task id, due time"""

ActivityRow: TypeAlias = tuple[str, str, int, int, str, int]
"""instance id, execution id, task id, attempt, call, whether that is without its input"""

HostRow: TypeAlias = tuple[str, str, int, str]
"""host id, boot id, started at, functions"""

LeaseRow: TypeAlias = tuple[int, int]
"""partition, epoch"""

instance_rows = msgspec.json.Decoder(list[InstanceRow])
message_rows = msgspec.json.Decoder(list[MessageRow])
timer_rows = msgspec.json.Decoder(list[TimerRow])
activity_rows = msgspec.json.Decoder(list[ActivityRow])
host_rows = msgspec.json.Decoder(list[HostRow])
lease_rows = msgspec.json.Decoder(list[LeaseRow])
text_rows = msgspec.json.Decoder(list[str])
holder_rows = msgspec.json.Decoder(list[tuple[int, str]])
activity_key_rows = msgspec.json.Decoder(list[tuple[str, str, int]])

_origin = msgspec.json.Decoder(Origin)
_progress = msgspec.json.Decoder(Progress)
_call = msgspec.json.Decoder(_Call)


def to_micros(time: datetime) -> int:
    """The stored form of a time: whole microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Back from `to_micros`."""
    return _EPOCH + value * _MICROSECOND


def encode_text(value: object) -> str:
    """A value as JSON text, as bodies are stored."""
    return _encode(value).decode()


def origin_of(state: InstanceState) -> Origin:
    """What of the record is stored apart from its progress."""
    return Origin(state.name, state.version, state.input, state.parent, state.tags, state.trace)


def origin_row(number: int, origin: Origin, limit: int) -> Row:
    """A row for `upsert_origins`; an input of more than `limit` characters has its own column."""
    if origin.input is None or len(origin.input) <= limit:
        return number, encode_text(origin), None
    return number, encode_text(replace(origin, input=None)), origin.input


def progress_values(state: InstanceState, limit: int) -> tuple[str, str | None]:
    """The columns that turns change: all but a large output, and that."""
    output = state.output
    is_large = output is not None and len(output) > limit
    progress = Progress(
        state.last_updated_at,
        state.completed_at,
        None if is_large else output,
        state.custom_status,
        state.failure,
        state.entity,
    )
    return encode_text(progress), output if is_large else None


def new_instance_row(
    number: int, state: InstanceState, turns: int, history_length: int, limit: int
) -> Row:
    """A row for `insert_instances`."""
    return (
        number,
        state.instance_id,
        state.execution_id,
        turns,
        history_length,
        state.instance_id.startswith("@"),
        to_micros(state.created_at),
        str(state.status),
        *progress_values(state, limit),
    )


def history_rows(number: int, first: int, events: Sequence[HistoryEvent]) -> list[Row]:
    """Rows for `insert_history`: the events from number `first` on."""
    rows: list[Row] = []
    for at in range(0, len(events), EVENTS_PER_ROW):
        some = events[at : at + EVENTS_PER_ROW]
        body = encode_events(some).decode()
        pieces = min(len(some), -(-len(body) // _ROW_CHARACTERS))
        if pieces == 1:
            rows.append((number, first + at, body))
            continue
        step = -(-len(some) // pieces)
        for start in range(0, len(some), step):
            body = encode_events(some[start : start + step]).decode()
            rows.append((number, first + at + start, body))
    return rows


def activity_row(number: int, task: ActivityTask, partition: int, holder: str, limit: int) -> Row:
    """A row for `insert_activities`; an input longer than `limit` has a column of its own."""
    is_large = task.input is not None and len(task.input) > limit
    return (
        number,
        task.execution_id,
        task.task_id,
        partition,
        task.attempt,
        holder,
        encode_text(_Call(task.name, None if is_large else task.input, task.trace)),
        task.input if is_large else None,
    )


def read_origin(body: str, input_: str | None) -> Origin:
    """Back from `origin_row`; `input_` is needed when it is large."""
    origin = _origin.decode(body)
    return origin if input_ is None else replace(origin, input=input_)


def read_instance(row: InstanceRow) -> tuple[InstanceState, SqlToken]:
    """The record and the fence of a stored instance."""
    number, instance_id, execution_id, turns, history_length, created_at = row[:6]
    status, progress, origin, large_input, large_output = row[6:]
    born = read_origin(origin, large_input)
    now = _progress.decode(progress)
    state = InstanceState(
        instance_id=instance_id,
        execution_id=execution_id,
        name=born.name,
        status=RuntimeStatus(status),
        created_at=from_micros(created_at),
        last_updated_at=now.last_updated_at,
        completed_at=now.completed_at,
        version=born.version,
        input=born.input,
        output=now.output if large_output is None else large_output,
        custom_status=now.custom_status,
        failure=now.failure,
        parent=born.parent,
        tags=born.tags,
        trace=born.trace,
        entity=now.entity,
    )
    return state, SqlToken(number, turns, execution_id, history_length, born)


def read_history(bodies: Sequence[str]) -> list[HistoryEvent]:
    """The events of stored rows, in order."""
    events: list[HistoryEvent] = []
    for body in bodies:
        events += decode_events(body)
    return events


def read_mail(row: MessageRow, partition: int, epoch: int) -> Mail:
    """A stored message as it is delivered; with a token when it starts an instance."""
    message_id, instance_id, execution_id, sender, body, withheld = row[:6]
    number, new_execution_id, origin = row[6:]
    event = decode_event(body)
    token = None
    if (
        isinstance(event, ExecutionStarted)
        and number is not None
        and origin is not None
        and not withheld
        and event.execution_id == new_execution_id
    ):
        # A large input is stored once more beside the record, where it need not be read from.
        token = SqlToken(number, 0, new_execution_id, 0, read_origin(origin, event.input))
    message = Message(
        id=message_id,
        instance_id=instance_id,
        event=event,
        execution_id=execution_id,
        sender=sender,
    )
    return Mail(
        partition=partition, epoch=epoch, message=message, token=token, withheld=bool(withheld)
    )


def read_timer(row: TimerRow) -> TimerTask:
    """A stored timer."""
    instance_id, execution_id, task_id, fire_at = row
    return TimerTask(
        instance_id=instance_id,
        execution_id=execution_id,
        task_id=task_id,
        fire_at=from_micros(fire_at),
    )


def read_activity(row: ActivityRow) -> ActivityTask:
    """A stored activity call."""
    instance_id, execution_id, task_id, attempt, body, withheld = row
    call = _call.decode(body)
    return ActivityTask(
        instance_id=instance_id,
        execution_id=execution_id,
        task_id=task_id,
        name=call.name,
        input=call.input,
        attempt=attempt,
        trace=call.trace,
        withheld=bool(withheld),
    )


def host_row(host: HostRecord, boot_id: str) -> Row:
    """Values for `insert_host`."""
    functions = encode_text(list(host.functions))
    return host.host_id, boot_id, to_micros(host.started_at), functions


def read_host(row: HostRow) -> HostRecord:
    """A stored host record."""
    host_id, _, started_at, functions = row
    return HostRecord(
        host_id=host_id,
        started_at=from_micros(started_at),
        functions=text_rows.decode(functions),
    )

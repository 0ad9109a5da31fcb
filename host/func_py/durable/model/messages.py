"""Messages: facts on their way to an instance's inbox, and the work a turn hands out."""

from __future__ import annotations

from datetime import datetime

import msgspec

from func_py.durable.model.events import FailureDetails, HistoryEvent, TraceContext

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[HistoryEvent] = msgspec.json.Decoder(HistoryEvent)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One event in transit.

    `id` is unique and names a duplicate. What a turn sends gets an id derived from its execution
    and task, because the turn may run again after it sent. `execution_id` empty: for whatever
    execution runs when it arrives (external events, terminate, suspend, resume); otherwise a
    message for another execution is dropped. `sender` is the sending instance, or empty for a
    client; messages from one sender to one instance keep their order.
    """

    id: str
    instance_id: str
    event: HistoryEvent
    execution_id: str = ""
    sender: str = ""


class ActivityTask(msgspec.Struct, frozen=True, kw_only=True):
    """One activity call to be made. `attempt` counts runs of this call, from 1.

    `withheld`: there is an input, which is large; the task hub has it (`TaskHub.read_activity`).
    """

    instance_id: str
    execution_id: str
    task_id: int
    name: str
    input: str | None = None
    attempt: int = 1
    trace: TraceContext | None = None
    withheld: bool = False


class ActivityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an activity call ended: `result` is JSON text; with `failure` the call failed."""

    result: str | None = None
    failure: FailureDetails | None = None


class TimerTask(msgspec.Struct, frozen=True, kw_only=True):
    """One durable timer, due at `fire_at`."""

    instance_id: str
    execution_id: str
    task_id: int
    fire_at: datetime


def encode_event(event: HistoryEvent) -> bytes:
    """The stored form of a message's event."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> HistoryEvent:
    """Read back what `encode_event` wrote."""
    return _decoder.decode(data)

"""Queue messages: the JSON envelope of DurableTask.AzureStorage and what is in it.

Members of our own are in `FuncPy`, which other readers ignore: the id of a message (foreign ones
have that of their envelope) and, on activity calls, how many runs were counted.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from func_py.durable.model import (
    ActivityTask,
    ExecutionStarted,
    HistoryEvent,
    Message,
    TaskScheduled,
)
from func_py.durable.storage.azure.entity_mail import request_id
from func_py.durable.storage.azure.members import (
    DATES,
    EVENT_NAMES,
    EVENT_NUMBERS,
    UnknownEvent,
    due_time,
    event_of,
    event_type,
    instance_object,
    members_of,
    read_time,
    time_text,
    trace_object,
    trace_of,
    wrapped,
)

MAX_MESSAGE_BYTES = 46_080
"""What is longer goes to a blob: 45 KiB leave room for base64 in a message of 64 KiB."""

_OURS = "FuncPy"
_EMPTY = uuid.UUID(int=0)
_encode = msgspec.json.Encoder(enc_hook=lambda value: value.value).encode


class UnreadableMessage(ValueError):
    """A queue message that is no envelope, or one of something that means nothing here."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a control queue.

    `sequence` orders messages of one second: ours are numbered by their time in microseconds,
    .NET's by a counter of their process. `generation`: of a start by a client, else None.
    """

    message: Message
    sequence: int
    generation: int | None = None
    is_foreign: bool = False
    """Another kind of host wrote it."""
    is_child: bool = False
    """A start by another instance, whether that waits for the end or not."""
    due: datetime | None = None
    """Not to be delivered before; of a request to an entity."""


class Count(msgspec.Struct, frozen=True):
    """How runs of an activity call are counted: it had run `attempt - 1` times, without success,
    when it had been taken from the queue `taken` times."""

    attempt: int
    taken: int

    def attempt_at(self, taken: int) -> int:
        """Which run it is for whoever took the message the `taken`th time."""
        return max(1, self.attempt + taken - self.taken - 1)


def born_held(task: ActivityTask) -> Count:
    """Of a call that is hidden when it is put: its next run needs no taking."""
    return Count(task.attempt, -1)


NOT_RUN = Count(1, 0)
"""Of a call that was put for anybody to take."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the work-item queue. The attempt of `task` says nothing yet; `count` does."""

    task: ActivityTask
    count: Count


class Numbers:
    """Numbers messages by time, ascending, so that those of several hosts can be put in order."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Greater than the last one."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last


# ---- writing -------------------------------------------------------------------------------


def encode_message(message: Message, sequence: int, generation: int | None = None) -> str:
    """The envelope of a message to an instance."""
    event = message.event
    body = _event_object(event, message.instance_id)
    if isinstance(event, ExecutionStarted) and generation is not None:
        body["Generation"] = generation
    tags = event.tags if isinstance(event, ExecutionStarted) and event.parent else None
    return _envelope(
        body,
        instance_object(message.instance_id, message.execution_id),
        sequence,
        activity_id(message.id),
        {"InstanceId": message.sender, "ExecutionId": ""},
        {"Id": message.id, "Named": bool(event.message_id)},
        None if tags is None else _context(tags),
    )


def encode_call(task: ActivityTask, sequence: int, time: datetime, count: Count) -> str:
    """The envelope of an activity call."""
    scheduled = TaskScheduled(timestamp=time, task_id=task.task_id, name=task.name)
    body = _event_object(scheduled, task.instance_id)
    body["Input"] = wrapped(task.input)
    body["ParentTraceContext"] = trace_object(task.trace)
    return _envelope(
        body,
        instance_object(task.instance_id, task.execution_id),
        sequence,
        activity_id(f"{task.execution_id}:{task.task_id}"),
        {"InstanceId": task.instance_id, "ExecutionId": task.execution_id},
        {"Attempt": count.attempt, "Taken": count.taken},
        _context({}),
    )


def recounted(text: str, count: Count) -> str:
    """The envelope of an activity call, with another count."""
    envelope = json.loads(text)
    envelope[_OURS] = {"Attempt": count.attempt, "Taken": count.taken}
    return json.dumps(envelope, ensure_ascii=False)


def encode_stub(blob: str) -> str:
    """The envelope that stands for one in a blob."""
    return _encode(
        {
            "$type": "DurableTask.AzureStorage.MessageData",
            "ActivityId": str(_EMPTY),
            "TaskMessage": None,
            "CompressedBlobName": blob,
            "SequenceNumber": 0,
            "SerializableTraceContext": None,
        }
    ).decode()


def activity_id(message_id: str) -> uuid.UUID:
    """The id of the envelope: the same when the message is put again."""
    return uuid.uuid5(uuid.NAMESPACE_OID, message_id)


def blob_name(instance_id: str, message_id: str, type_name: str) -> str:
    """Where the envelope goes when it is too long for the queue."""
    return f"{instance_id}/message-{activity_id(message_id).hex}-{type_name}.json.gz"


def _event_object(event: HistoryEvent, instance_id: str) -> dict[str, Any]:
    name = event_type(event)
    kind = name if name == "GenericEvent" else f"{name}Event"
    body: dict[str, Any] = {"$type": f"DurableTask.Core.History.{kind}"}
    for member, value in members_of(event, instance_id).items():
        body[member] = time_text(value) if isinstance(value, datetime) else value
    body["EventType"] = EVENT_NUMBERS[name]
    body["EventId"] = event.task_id if isinstance(event, TaskScheduled) else -1
    body["IsPlayed"] = False
    body["Timestamp"] = time_text(event.timestamp)
    return body


def _context(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"$type": "DurableTask.Core.OrchestrationExecutionContext", "OrchestrationTags": tags}


def _envelope(
    event: Mapping[str, Any],
    target: Mapping[str, Any],
    sequence: int,
    envelope_id: uuid.UUID,
    sender: Mapping[str, str],
    ours: Mapping[str, Any],
    context: Mapping[str, Any] | None,
) -> str:
    return _encode(
        {
            "$type": "DurableTask.AzureStorage.MessageData",
            "ActivityId": str(envelope_id),
            "TaskMessage": {
                "$type": "DurableTask.Core.TaskMessage",
                "Event": event,
                "SequenceNumber": 0,
                "OrchestrationInstance": target,
                "OrchestrationExecutionContext": context,
            },
            "CompressedBlobName": None,
            "SequenceNumber": sequence,
            "Sender": sender,
            "SerializableTraceContext": None,
            _OURS: ours,
        }
    ).decode()


# ---- reading -------------------------------------------------------------------------------


def plain_text(content: str) -> str:
    """The JSON of a queue message: older .NET hosts write it in base64."""
    if content.startswith("{"):
        return content
    try:
        return base64.b64decode(content, validate=True).decode()
    except ValueError as error:
        raise UnreadableMessage("neither JSON nor base64") from error


def parse(text: str) -> Mapping[str, Any]:
    """The envelope as a dict."""
    try:
        envelope = json.loads(text)
    except ValueError as error:
        raise UnreadableMessage(str(error)) from error
    if not isinstance(envelope, dict):
        raise UnreadableMessage("no object")
    return envelope


def stub_target(envelope: Mapping[str, Any]) -> str:
    """The blob with the real envelope; empty when this is the real one."""
    return str(envelope.get("CompressedBlobName") or "")


def decode_message(envelope: Mapping[str, Any]) -> Delivery:
    """Read a message to an instance.

    Raises:
        UnreadableMessage: It is none.
    """
    try:
        task_message = envelope["TaskMessage"]
        body = task_message["Event"]
        target = task_message["OrchestrationInstance"]
        ours = envelope.get(_OURS) or {}
        message_id = ours.get("Id") or _foreign_id(envelope, target["InstanceId"], body)
        return Delivery(
            message=Message(
                id=message_id,
                instance_id=target["InstanceId"],
                execution_id=target.get("ExecutionId") or "",
                sender=(envelope.get("Sender") or {}).get("InstanceId") or "",
                # A name that the event did not have when it was sent is not given to it.
                event=_decode_event(body, message_id if ours.get("Named", True) else ""),
            ),
            sequence=int(envelope.get("SequenceNumber") or 0),
            generation=body.get("Generation"),
            is_foreign=not ours,
            is_child=bool(body.get("ParentInstance")),
            due=due_time(str(body.get("Name") or "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableMessage(f"{type(error).__name__}: {error}") from error


def _foreign_id(envelope: Mapping[str, Any], target: str, body: Mapping[str, Any]) -> str:
    """Names a message of another kind of host."""
    return request_id(target, body) or uuid.UUID(envelope["ActivityId"]).hex


def decode_call(envelope: Mapping[str, Any]) -> Call:
    """Read an activity call.

    Raises:
        UnreadableMessage: It is none.
    """
    try:
        task_message = envelope["TaskMessage"]
        body = task_message["Event"]
        target = task_message["OrchestrationInstance"]
        event = _decode_event(body, "")
        if not isinstance(event, TaskScheduled):
            raise UnreadableMessage(f"{type(event).__name__} in the queue of activity calls")
        ours = envelope.get(_OURS)
        return Call(
            task=ActivityTask(
                instance_id=target["InstanceId"],
                execution_id=target.get("ExecutionId") or "",
                task_id=event.task_id,
                name=event.name,
                input=event.input,
                trace=trace_of(body.get("ParentTraceContext")),
            ),
            count=Count(int(ours["Attempt"]), int(ours["Taken"])) if ours else NOT_RUN,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessage(f"{type(error).__name__}: {error}") from error


def _decode_event(body: Mapping[str, Any], message_id: str) -> HistoryEvent:
    name = EVENT_NAMES.get(body["EventType"])
    if name is None:
        raise UnknownEvent(f"EventType {body['EventType']}")
    members = {
        member: read_time(value) if member in DATES and value else value
        for member, value in body.items()
    }
    common = {"timestamp": read_time(body["Timestamp"]), "message_id": message_id}
    return event_of(name, int(body.get("EventId", -1)), common, members)

"""The JSON of queue messages, as .NET hosts write and read it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from func_py.durable.model import (
    ActivityTask,
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    GenericEvent,
    HistoryEvent,
    Message,
    ParentLink,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
    TraceContext,
)
from func_py.durable.storage.azure.entity_mail import labelled
from func_py.durable.storage.azure.members import LONG_TIMERS
from func_py.durable.storage.azure.messages import (
    NOT_RUN,
    Count,
    UnreadableMessage,
    blob_name,
    born_held,
    decode_call,
    decode_message,
    encode_call,
    encode_message,
    encode_stub,
    parse,
    plain_text,
    stub_target,
)

NOON = datetime(2026, 6, 24, 20, 53, 5, 909350, tzinfo=UTC)
FAILURE = FailureDetails(type="ValueError", message="no", stack="at x", inner=None)
PARENT = ParentLink(instance_id="p", execution_id="pe", name="Parent", task_id=3)

OFFICIAL_START = json.loads("""
{"$type":"DurableTask.AzureStorage.MessageData",
 "ActivityId":"0f0f8b1e-6a5e-4b0d-9a53-0d8d1f6f2a11",
 "TaskMessage":{"$type":"DurableTask.Core.TaskMessage",
  "Event":{"$type":"DurableTask.Core.History.ExecutionStartedEvent",
   "OrchestrationInstance":{"$type":"DurableTask.Core.OrchestrationInstance",
     "InstanceId":"abc123","ExecutionId":"7f1f5f0c2ad34d3a8d9a4c0f5b1b2c3d"},
   "EventType":0,"ParentInstance":null,"Name":"hello","Version":"","Input":"\\"Tokyo\\"",
   "Tags":{"$type":"System.Collections.Generic.Dictionary`2[[System.String]]","k":"v"},
   "Correlation":null,"ParentTraceContext":null,"ScheduledStartTime":null,"Generation":2,
   "GenerateNewTrace":false,"EventId":-1,"IsPlayed":false,
   "Timestamp":"2026-06-24T20:53:05.9093518Z"},
  "SequenceNumber":0,
  "OrchestrationInstance":{"$type":"DurableTask.Core.OrchestrationInstance",
     "InstanceId":"abc123","ExecutionId":"7f1f5f0c2ad34d3a8d9a4c0f5b1b2c3d"},
  "OrchestrationExecutionContext":null},
 "CompressedBlobName":null,"SequenceNumber":1,
 "Sender":{"InstanceId":"","ExecutionId":""},"SerializableTraceContext":null}
""")


def message(event: HistoryEvent, **changes: Any) -> Message:
    """A message with an event."""
    values = {"id": event.message_id or "m1", "instance_id": "abc", "execution_id": "e1"}
    return Message(event=event, **(values | changes))


def test_a_start_of_a_dotnet_client_is_read() -> None:
    delivery = decode_message(OFFICIAL_START)
    assert (delivery.sequence, delivery.generation, delivery.is_foreign) == (1, 2, True)
    read = delivery.message
    assert read.id == "0f0f8b1e6a5e4b0d9a530d8d1f6f2a11"
    assert (read.instance_id, read.sender) == ("abc123", "")
    assert read.event == ExecutionStarted(
        timestamp=datetime(2026, 6, 24, 20, 53, 5, 909351, tzinfo=UTC),
        message_id=read.id,
        name="hello",
        execution_id="7f1f5f0c2ad34d3a8d9a4c0f5b1b2c3d",
        input='"Tokyo"',
        tags={"k": "v"},
        long_timers=LONG_TIMERS,
    )


def test_a_start_of_ours_has_every_member_of_an_official_one() -> None:
    event = ExecutionStarted(
        timestamp=NOON,
        name="hello",
        execution_id="e1",
        input='"Tokyo"',
        long_timers=LONG_TIMERS,
    )
    envelope = json.loads(encode_message(message(event), 7, 0))
    ours = envelope.pop("FuncPy")
    assert ours == {"Id": "m1", "Named": False}
    assert envelope.keys() == OFFICIAL_START.keys()
    inside, official = envelope["TaskMessage"], OFFICIAL_START["TaskMessage"]
    assert inside.keys() == official.keys()
    assert inside["Event"].keys() == official["Event"].keys()
    for each in (envelope, inside, inside["Event"], inside["OrchestrationInstance"]):
        assert next(iter(each)) == "$type"
    assert inside["Event"]["$type"] == "DurableTask.Core.History.ExecutionStartedEvent"
    assert inside["Event"]["Timestamp"] == "2026-06-24T20:53:05.90935Z"
    assert envelope["Sender"] == {"InstanceId": "", "ExecutionId": ""}


@pytest.mark.parametrize(
    ("event", "number"),
    [
        (
            ExecutionStarted(
                timestamp=NOON,
                message_id="m1",
                name="n",
                execution_id="e1",
                version="2",
                parent=PARENT,
                tags={"a": "b"},
                trace=TraceContext(trace_parent="00-1-2-01", trace_state="s"),
            ),
            0,
        ),
        (ExecutionTerminated(timestamp=NOON, reason="r", recursive=True), 3),
        (TaskCompleted(timestamp=NOON, message_id="m1", task_id=4, result="1"), 5),
        (TaskFailed(timestamp=NOON, task_id=4, reason="r", details="d", failure=FAILURE), 6),
        (SubOrchestrationCompleted(timestamp=NOON, task_id=4, result="1"), 8),
        (SubOrchestrationFailed(timestamp=NOON, task_id=4, reason="r", failure=FAILURE), 9),
        (TimerFired(timestamp=NOON, message_id="m1", task_id=2, fire_at=NOON), 11),
        (EventRaised(timestamp=NOON, name="go", input='{"a": 1}'), 15),
        (GenericEvent(timestamp=NOON), 17),
        (ExecutionSuspended(timestamp=NOON, reason="r"), 19),
        (ExecutionResumed(timestamp=NOON, reason=None), 20),
        (ExecutionRewound(timestamp=NOON, reason="r", parent=PARENT), 21),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_are_read_back_as_they_were(event: HistoryEvent, number: int) -> None:
    sent = message(event, sender="s")
    envelope = parse(encode_message(sent, 7))
    assert envelope["TaskMessage"]["Event"]["EventType"] == number
    assert decode_message(envelope).message == sent


def test_a_message_for_any_execution_has_none() -> None:
    sent = message(EventRaised(timestamp=NOON, name="go"), execution_id="")
    envelope = parse(encode_message(sent, 7))
    assert envelope["TaskMessage"]["OrchestrationInstance"]["ExecutionId"] is None
    assert decode_message(envelope).message == sent


@pytest.mark.parametrize(
    ("name", "read", "due"),
    [
        ("op@2026-06-24T20:53:05.9093500Z", "op", NOON),
        ("op@home", "op@home", None),
        ("op", "op", None),
        ("shop@2026-06-24T20:53:05Z", "shop@2026-06-24T20:53:05Z", None),
    ],
)
def test_a_request_that_was_not_to_come_early_is_a_request(
    name: str, read: str, due: datetime | None
) -> None:
    event = EventRaised(timestamp=NOON, name=name, input="{}")
    delivery = decode_message(parse(encode_message(message(event), 7)))
    assert (getattr(delivery.message.event, "name", ""), delivery.due) == (read, due)


def test_a_request_that_a_dotnet_host_sent_again_is_the_same_message() -> None:
    event = EventRaised(timestamp=NOON, name="op", input='{"op":"add","id":"r1"}')
    for number in (1, 2):
        sent = message(event, id=f"m{number}", instance_id="@counter@c")
        envelope = dict(parse(encode_message(sent, number)))
        del envelope["FuncPy"]
        assert decode_message(envelope).message.id == "r1"
    envelope = dict(parse(encode_message(message(event), 1)))
    del envelope["FuncPy"]
    assert decode_message(envelope).message.id != "r1", "an orchestration takes it for an event"


def test_requests_to_entities_carry_ascending_times() -> None:
    event = EventRaised(timestamp=NOON, name="op", input='{"id":"r1","parent":"abc"}')
    sent = message(event, instance_id="@counter@c", sender="abc")
    texts = [getattr(labelled(sent, n).event, "input", "") for n in range(2)]
    assert [json.loads(text) for text in texts] == [
        {"id": "r1", "parent": "abc", "Timestamp": f"2026-06-24T20:53:05.9093{n}Z"} for n in (5, 51)
    ]
    for other in (message(event), message(GenericEvent(timestamp=NOON), instance_id="@counter@c")):
        assert labelled(other, 1) is other


def test_nobody_waits_for_a_child_that_is_fired_and_forgotten() -> None:
    """Its own children are waited for: they do not get the tag."""
    envelope = json.loads(json.dumps(OFFICIAL_START))
    event = envelope["TaskMessage"]["Event"]
    event["ParentInstance"] = {
        "Name": "@counter@c",
        "OrchestrationInstance": {"InstanceId": "@counter@c", "ExecutionId": "e"},
        "TaskScheduleId": 0,
    }
    assert getattr(decode_message(envelope).message.event, "parent", None) is not None
    event["Tags"]["FireAndForget"] = ""
    delivery = decode_message(envelope)
    assert isinstance(delivery.message.event, ExecutionStarted)
    assert (delivery.message.event.parent, delivery.message.event.tags) == (None, {"k": "v"})
    assert delivery.is_child, "it has no row, unlike what a client started"


def test_older_hosts_write_base64() -> None:
    text = encode_message(message(GenericEvent(timestamp=NOON)), 7)
    assert plain_text(base64.b64encode(text.encode()).decode()) == text
    assert plain_text(text) == text


@pytest.mark.parametrize("content", ["", "nonsense!", "{", "{}", '{"TaskMessage": null}', "e30="])
def test_what_is_no_message_is_refused(content: str) -> None:
    with pytest.raises(UnreadableMessage):
        decode_message(parse(plain_text(content)))


def test_a_long_message_is_in_a_blob_that_its_stub_names() -> None:
    assert blob_name("abc", "m1", "ExecutionStarted").startswith("abc/message-")
    assert blob_name("abc", "m1", "ExecutionStarted").endswith("-ExecutionStarted.json.gz")
    stub = parse(encode_stub("abc/message-x.json.gz"))
    assert stub_target(stub) == "abc/message-x.json.gz"
    assert (stub["TaskMessage"], stub["SequenceNumber"]) == (None, 0)
    assert stub["ActivityId"] == "00000000-0000-0000-0000-000000000000"


def task(input: str | None = '"Tokyo"') -> ActivityTask:
    """An activity call."""
    trace = TraceContext(trace_parent="00-1-2-01")
    return ActivityTask(
        instance_id="abc", execution_id="e1", task_id=5, name="say", input=input, trace=trace
    )


def test_an_activity_call_wraps_its_input() -> None:
    envelope = parse(encode_call(task(), 7, NOON, born_held(task())))
    event = envelope["TaskMessage"]["Event"]
    assert event["$type"] == "DurableTask.Core.History.TaskScheduledEvent"
    assert (event["EventId"], event["Input"], event["Name"]) == (5, '["Tokyo"]', "say")
    assert decode_call(envelope).task == task()


@pytest.mark.parametrize("text", [None, "[1, 2]", "{}", '"["'])
def test_the_input_of_an_activity_passes_through(text: str | None) -> None:
    assert decode_call(parse(encode_call(task(text), 7, NOON, NOT_RUN))).task.input == text


def test_a_call_that_dotnet_put_has_not_run() -> None:
    envelope = dict(parse(encode_call(task(), 7, NOON, born_held(task()))))
    del envelope["FuncPy"]
    assert decode_call(envelope).count.attempt_at(1) == 1


def test_runs_are_counted_by_how_often_the_message_was_taken() -> None:
    assert born_held(task()).attempt_at(1) == 2
    assert NOT_RUN.attempt_at(1) == 1
    assert Count(attempt=3, taken=7).attempt_at(8) == 3
    assert Count(attempt=3, taken=7).attempt_at(10) == 5

"""A hub in Azure Storage as others see it: read with the plain SDK, and written by hand.

The forms are those of DurableTask.AzureStorage; the hand-written rows and messages have what only
.NET hosts write.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from azure.data.tables import EdmType
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient
from conformance.moving_cases import Leaps
from support.azure_victim import APP, counter, host_on
from support.engine import Host, until
from support.hubs import sqlite_hub

from func_py.durable.model import (
    ExecutionStarted,
    InstanceState,
    RuntimeStatus,
    TimerCreated,
    new_id,
    partition_of,
)
from func_py.durable.moving import HubFile, export_hub, import_hub, new_host
from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.app_lease import app_lease_id
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.opened import AzureOptions
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.histories import whole_history
from func_py.errors import ConfigError

_numbers = itertools.count(1)
PARTITIONS = 2


class Outside:
    """The storage account, and the names of one hub in it."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self.names = HubNames(f"Layout{next(_numbers)}")
        self.tables = TableServiceClient.from_connection_string(connection_string)
        self.queues = QueueServiceClient.from_connection_string(connection_string)
        self.blobs = BlobServiceClient.from_connection_string(connection_string)

    def host(self) -> Host:
        """A host of the fault tests' app on the hub."""
        return host_on(self.connection_string, self.names.hub)

    async def rows(self, table: str) -> list[Mapping[str, Any]]:
        """All rows of a table."""
        return [row async for row in self.tables.get_table_client(table).list_entities()]

    async def history(self) -> list[Mapping[str, Any]]:
        """All rows of the history but the sentinels."""
        return [r for r in await self.rows(self.names.history) if r["RowKey"] != "sentinel"]

    async def peek(self, queue: str) -> list[Any]:
        """The messages of a queue that can be seen."""
        found = await self.queues.get_queue_client(queue).peek_messages(32)
        return [json.loads(message.content) for message in found]

    async def put(self, queue: str, message: Mapping[str, Any], *, as_base64: bool = False) -> None:
        """Store a message."""
        text = json.dumps(message)
        if as_base64:
            text = base64.b64encode(text.encode()).decode()
        await self.queues.get_queue_client(queue).send_message(text, time_to_live=-1)

    async def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Store a row."""
        await self.tables.get_table_client(table).create_entity(row)

    def control(self, instance_id: str) -> str:
        """The control queue of an instance."""
        return self.names.control(partition_of(instance_id, PARTITIONS))


@pytest.fixture
async def outside(azurite: str) -> AsyncIterator[Outside]:
    """An account with a hub of this test."""
    found = Outside(azurite)
    yield found
    for client in (found.tables, found.queues, found.blobs):
        await client.close()


def quiet_hub(outside: Outside) -> AzureTaskHub:
    """A view of the hub that runs nothing."""
    account = Account(connection_string=outside.connection_string)
    return AzureTaskHub(account, outside.names.hub, PARTITIONS, AzureOptions())


async def test_a_chain_leaves_the_rows_that_the_official_host_leaves(outside: Outside) -> None:
    async with outside.host() as host:
        instance_id = await host.client.start("chain", instance_id="order-1", input="3")
        await host.wait_for(instance_id)
        [instance] = await outside.rows(outside.names.instances)
    rows = await outside.history()

    assert [row["RowKey"] for row in rows] == [f"{number:016X}" for number in range(16)]
    assert [(row["EventType"], row["EventId"]) for row in rows] == [
        ("OrchestratorStarted", -1),
        ("ExecutionStarted", -1),
        ("TaskScheduled", 0),
        ("OrchestratorCompleted", -1),
        ("OrchestratorStarted", -1),
        ("TaskCompleted", -1),
        ("TaskScheduled", 1),
        ("OrchestratorCompleted", -1),
        ("OrchestratorStarted", -1),
        ("TaskCompleted", -1),
        ("TaskScheduled", 2),
        ("OrchestratorCompleted", -1),
        ("OrchestratorStarted", -1),
        ("TaskCompleted", -1),
        ("ExecutionCompleted", 3),
        ("OrchestratorCompleted", -1),
    ]
    execution_id = instance["ExecutionId"]
    for row in rows:
        assert (row["PartitionKey"], row["ExecutionId"]) == ("order-1", execution_id)
        assert row["IsPlayed"] is False
        assert row["_Timestamp"].tzinfo is not None
    started, scheduled, completed, ended = rows[1], rows[2], rows[5], rows[14]
    assert json.loads(started["OrchestrationInstance"]) == {
        "InstanceId": "order-1",
        "ExecutionId": execution_id,
    }
    assert (started["Name"], started["Version"], started["Input"]) == ("chain", "", "3")
    assert (started["ParentInstance"], started["Tags"]) == ("null", "null")
    assert (scheduled["Name"], scheduled["Input"], scheduled["Tags"]) == ("square", "[0]", "null")
    assert (completed["TaskScheduledId"], completed["Result"]) == (0, "0")
    assert (ended["OrchestrationStatus"], ended["Result"]) == ("Completed", "[0, 1, 4]")
    assert ended["FailureDetails"] == "null"

    assert (instance["PartitionKey"], instance["RowKey"]) == ("order-1", "")
    assert {
        name: instance[name]
        for name in ("Name", "Version", "Input", "Output", "CustomStatus", "RuntimeStatus")
    } == {
        "Name": "chain",
        "Version": "",
        "Input": "3",
        "Output": "[0, 1, 4]",
        "CustomStatus": "null",
        "RuntimeStatus": "Completed",
    }
    assert (instance["Generation"], instance["TaskHubName"]) == (0, outside.names.hub)
    assert instance["Tags"] == "null"
    assert instance["CreatedTime"] == started["_Timestamp"]
    assert instance["CompletedTime"] >= instance["CreatedTime"]

    sentinels = outside.tables.get_table_client(outside.names.history)
    sentinel = await sentinels.get_entity("order-1", "sentinel")
    assert sentinel["ExecutionId"] == execution_id
    assert sentinel["IsCheckpointComplete"] is True
    assert sentinel["CheckpointCompletedTimestamp"].tzinfo is not None


async def test_numbers_are_of_32_bits_and_times_are_times(outside: Outside) -> None:
    async with outside.host() as host:
        await host.client.start("chain", instance_id="i", input="1")
        await host.wait_for("i")
    # The SDK gives integers of 64 bits as pairs with their type.
    for row in [*await outside.history(), *await outside.rows(outside.names.instances)]:
        for name, value in row.items():
            assert not isinstance(value, tuple), (name, EdmType.INT64)
            if name in ("EventId", "TaskScheduledId", "Generation"):
                assert isinstance(value, int)


async def test_the_hub_has_the_official_queues_and_leases(outside: Outside) -> None:
    async with outside.host():
        names = [queue.name async for queue in outside.queues.list_queues()]
        owned = await outside.rows(outside.names.partitions)
    hub = outside.names.hub.lower()
    wanted = [f"{hub}-control-00", f"{hub}-control-01", f"{hub}-workitems"]
    assert sorted(name for name in names if name.startswith(f"{hub}-")) == wanted
    assert [(row["PartitionKey"], row["RowKey"]) for row in owned] == [
        ("", f"{hub}-control-00"),
        ("", f"{hub}-control-01"),
    ]
    for row in owned:
        assert row["CurrentOwner"]
        assert row["IsDraining"] is False
        assert row["ExpiresAt"] > row["LastRenewal"] >= row["OwnedSince"] - timedelta(seconds=1)
    free = await outside.rows(outside.names.partitions)
    assert all("CurrentOwner" not in row for row in free)
    info = outside.blobs.get_blob_client(outside.names.app_lease, outside.names.app_lease_info)
    signed = json.loads(await (await info.download_blob()).readall())
    assert signed == {"OwnerId": app_lease_id(""), "DesiredSwapId": None}


async def test_a_hub_of_an_older_host_keeps_its_partition_count(outside: Outside) -> None:
    """Older hosts have no table of partitions, but a blob that says how many there are."""
    container = outside.blobs.get_container_client(f"{outside.names.hub.lower()}-leases")
    await container.create_container()
    record = {"TaskHubName": outside.names.hub, "CreatedAt": stamp(), "PartitionCount": 3}
    await container.upload_blob("taskhub.json", json.dumps(record))
    with pytest.raises(ConfigError, match="is 2, but the task hub was made with 3"):
        await quiet_hub(outside).create_hub()
    await container.upload_blob(
        "taskhub.json", json.dumps({**record, "PartitionCount": PARTITIONS}), overwrite=True
    )
    await quiet_hub(outside).create_hub()
    assert len(await outside.rows(outside.names.partitions)) == PARTITIONS


async def test_renewing_twice_at_once_loses_no_partition(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    async with outside.host() as host:
        leases = await asyncio.gather(*(host.hub.renew() for _ in range(5)))
        assert [len(each) for each in leases] == [PARTITIONS] * 5
    assert "is lost" not in caplog.text


async def test_an_app_that_takes_the_hub_over_gets_the_partitions(outside: Outside) -> None:
    async with outside.host():
        theirs = app_lease_id("another")
        container = outside.blobs.get_container_client(outside.names.app_lease)
        await BlobLeaseClient(container, app_lease_id("")).change(theirs)

        async def are_free() -> bool:
            rows = await outside.rows(outside.names.partitions)
            return all("CurrentOwner" not in row for row in rows)

        await until(are_free, "the partitions to be given up")


async def test_a_long_input_is_in_blobs_that_the_official_tools_find(outside: Outside) -> None:
    text = json.dumps("é" * 50_000)
    hub = quiet_hub(outside)
    async with Host(hub, {"echo": lambda context: context.get_input()}) as host:
        await host.engine.stop(0)
        await host.client.start("echo", instance_id="long", input=text)
        [stub] = await outside.peek(outside.control("long"))
        state = await host.client.get("long")
        assert state is not None
        assert state.input == text
    [row] = await outside.rows(outside.names.instances)

    assert (stub["TaskMessage"], stub["SequenceNumber"]) == (None, 0)
    name = stub["CompressedBlobName"]
    assert name.startswith("long/message-")
    assert name.endswith("-ExecutionStarted.json.gz")
    blob = outside.blobs.get_blob_client(outside.names.large_messages, name)
    envelope = json.loads(gzip.decompress(await (await blob.download_blob()).readall()))
    assert envelope["CompressedBlobName"] is None
    assert envelope["TaskMessage"]["Event"]["Input"] == text
    container = outside.blobs.get_container_client(outside.names.large_messages)
    assert row["Input"].startswith(f"{container.url}/long/")


async def test_long_values_of_a_history_are_in_blobs_and_go_with_a_purge(outside: Outside) -> None:
    long = "x" * 40_000
    async with Host(
        quiet_hub(outside),
        {"echo": lambda context: (yield context.call_activity("say", long))},
        {"say": lambda text: text},
    ) as host:
        await host.client.start("echo", instance_id="i")
        state = await host.wait_for("i")
        rows = await outside.history()
        container = outside.blobs.get_container_client(outside.names.large_messages)
        [result] = [row for row in rows if row["EventType"] == "TaskCompleted"]
        assert result["Result"] == ""
        name = result["ResultBlobName"]
        assert name.startswith(f"i/history-{result['RowKey']}-TaskCompleted-")
        assert name.endswith("-Result.json.gz")
        stored = await (await container.download_blob(name)).readall()
        assert gzip.decompress(stored).decode() == json.dumps(long)
        assert json.loads(state.output or "") == long
        assert await host.hub.purge("i")
        assert [blob.name async for blob in container.list_blobs()] == []
    assert await outside.rows(outside.names.history) == []


async def test_an_entity_is_stored_as_the_official_scheduler_does(outside: Outside) -> None:
    async with outside.host() as host:
        await host.client.start("family", instance_id="i", input="1")
        await host.wait_for("i")
    table = outside.tables.get_table_client(outside.names.instances)
    row = await table.get_entity("@counter@e", "")
    assert (row["Name"], row["RuntimeStatus"]) == ("@counter@e", "Running")
    state = json.loads(row["Input"])
    assert (state["exists"], json.loads(state["state"])) == (True, 1)
    assert json.loads(row["CustomStatus"]) == {"entityExists": True}
    rows = [r for r in await outside.history() if r["PartitionKey"] == "@counter@e"]
    assert [r["EventType"] for r in rows] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
    ]
    assert json.loads(rows[1]["Input"]) == state


# ---- written by hand -----------------------------------------------------------------------


def stamp(seconds: float = 0) -> str:
    """A time as .NET writes it, with seven digits."""
    time = datetime.now(UTC) + timedelta(seconds=seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "8Z"


def official(
    kind: str,
    number: int,
    instance_id: str,
    execution_id: str | None,
    members: Mapping[str, Any],
    sequence: int = 1,
) -> dict[str, Any]:
    """A message as a .NET host or client sends it."""
    return {
        "$type": "DurableTask.AzureStorage.MessageData",
        "ActivityId": str(uuid.uuid4()),
        "TaskMessage": {
            "$type": "DurableTask.Core.TaskMessage",
            "Event": {
                "$type": f"DurableTask.Core.History.{kind}",
                **members,
                "EventType": number,
                "EventId": -1,
                "IsPlayed": False,
                "Timestamp": stamp(),
            },
            "SequenceNumber": 0,
            "OrchestrationInstance": {
                "$type": "DurableTask.Core.OrchestrationInstance",
                "InstanceId": instance_id,
                "ExecutionId": execution_id,
            },
            "OrchestrationExecutionContext": None,
        },
        "CompressedBlobName": None,
        "SequenceNumber": sequence,
        "Episode": 1,
        "Sender": {"InstanceId": "", "ExecutionId": ""},
        "SerializableTraceContext": None,
    }


def started(instance_id: str, execution_id: str, name: str, text: str) -> dict[str, Any]:
    """The start message of a .NET client."""
    members = {
        "OrchestrationInstance": {
            "$type": "DurableTask.Core.OrchestrationInstance",
            "InstanceId": instance_id,
            "ExecutionId": execution_id,
        },
        "ParentInstance": None,
        "Name": name,
        "Version": "",
        "Input": text,
        "Tags": {"$type": "System.Collections.Generic.Dictionary`2[[System.String]]", "a": "b"},
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": 0,
        "GenerateNewTrace": False,
    }
    return official("ExecutionStartedEvent", 0, instance_id, execution_id, members)


def pending_row(outside: Outside, instance_id: str, execution_id: str, name: str) -> dict[str, Any]:
    """The row that a .NET client writes behind its start message."""
    now = datetime.now(UTC)
    return {
        "PartitionKey": instance_id,
        "RowKey": "",
        "Name": name,
        "Version": "",
        "Input": "2",
        "RuntimeStatus": "Pending",
        "CreatedTime": now,
        "LastUpdatedTime": now,
        "ExecutionId": execution_id,
        "Generation": 0,
        "TaskHubName": outside.names.hub,
        "Tags": '{"a":"b"}',
    }


@pytest.mark.parametrize("as_base64", [False, True])
@pytest.mark.parametrize("row_first", [True, False])
async def test_what_a_dotnet_client_started_is_run(
    outside: Outside, as_base64: bool, row_first: bool
) -> None:
    await quiet_hub(outside).create_hub()
    execution_id = new_id()
    row = pending_row(outside, "net", execution_id, "chain")
    if row_first:
        await outside.insert(outside.names.instances, row)
    message = started("net", execution_id, "chain", "2")
    await outside.put(outside.control("net"), message, as_base64=as_base64)
    async with outside.host() as host:
        if not row_first:
            # The start is shown again after a while; until then it has no record.
            await outside.insert(outside.names.instances, row)
        state = await host.wait_for("net")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "[0, 1]")
    assert state.tags == {"a": "b"}


async def half_run(outside: Outside) -> None:
    """An orchestration of a .NET host: one activity is done, the second one's answer is sent."""
    await quiet_hub(outside).create_hub()
    execution_id = new_id()
    row = {**pending_row(outside, "half", execution_id, "chain"), "RuntimeStatus": "Running"}
    row |= {"Input": "3", "CustomStatus": "null"}
    await outside.insert(outside.names.instances, row)
    time = datetime.now(UTC)
    instance = json.dumps({"InstanceId": "half", "ExecutionId": execution_id})
    null = {"ParentTraceContext": "null", "Tags": "null"}
    events: list[dict[str, Any]] = [
        {"EventType": "OrchestratorStarted"},
        {
            "EventType": "ExecutionStarted",
            "OrchestrationInstance": instance,
            "ParentInstance": "null",
            "Name": "chain",
            "Version": "",
            "Input": "3",
            "Generation": 0,
            "GenerateNewTrace": False,
            **null,
        },
        {"EventType": "TaskScheduled", "EventId": 0, "Name": "square", "Version": "", **null},
        {"EventType": "OrchestratorCompleted"},
        {"EventType": "OrchestratorStarted"},
        {"EventType": "TaskCompleted", "TaskScheduledId": 0, "Result": "0"},
        {"EventType": "TaskScheduled", "EventId": 1, "Name": "square", "Version": "", **null},
        {"EventType": "OrchestratorCompleted"},
    ]
    for position, event in enumerate(events):
        common = {"EventId": -1, "IsPlayed": False, "_Timestamp": time}
        key = {"PartitionKey": "half", "RowKey": f"{position:016X}", "ExecutionId": execution_id}
        await outside.insert(outside.names.history, {**common, **key, **event})
    # A row that a longer, earlier execution left behind.
    stale: dict[str, Any] = {"PartitionKey": "half", "RowKey": f"{len(events):016X}"}
    stale |= {"ExecutionId": "old"}
    stale |= {"EventType": "TaskCompleted", "EventId": -1, "_Timestamp": time}
    await outside.insert(outside.names.history, stale)
    sentinel = {
        "PartitionKey": "half",
        "RowKey": "sentinel",
        "ExecutionId": execution_id,
        "IsCheckpointComplete": True,
        "CheckpointCompletedTimestamp": time,
    }
    await outside.insert(outside.names.history, sentinel)
    answer = {"TaskScheduledId": 1, "Result": "1"}
    message = official("TaskCompletedEvent", 5, "half", execution_id, answer)
    await outside.put(outside.control("half"), message)


async def test_a_half_run_orchestration_of_a_dotnet_host_is_finished(outside: Outside) -> None:
    await half_run(outside)
    async with outside.host() as host:
        state = await host.wait_for("half")
        history = await whole_history(host.hub, "half")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "[0, 1, 4]")
    assert sum(isinstance(event, ExecutionStarted) for event in history) == 1


async def move(old: TaskHub, new: TaskHub, folder: Path) -> None:
    """Export one hub, and import it into another."""
    file = HubFile(folder / f"{new_id()}.jsonl")
    mover = new_host(datetime.now(UTC))
    info = await old.open(mover)
    await export_hub(old, info, mover, file, Leaps(), lambda *_: None, lambda _: None)
    await old.close()
    await new.create_hub()
    info = await new.open(mover)
    await import_hub(new, info, mover, file, lambda *_: None)
    await new.close()


async def test_a_half_run_orchestration_of_a_dotnet_host_is_finished_elsewhere(
    outside: Outside, tmp_path: Path
) -> None:
    await half_run(outside)
    await move(quiet_hub(outside), sqlite_hub(tmp_path), tmp_path)
    async with Host(sqlite_hub(tmp_path), APP, {"square": lambda n: n * n}) as there:
        state = await there.wait_for("half")
        assert [call.input for call in there.activities.calls] == ["2"]
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "[0, 1, 4]")


def sleeper(context: Any) -> Any:
    """Sleeps for eight days."""
    yield context.create_timer(context.current_utc_datetime + timedelta(days=8))
    return "rested"


async def half_slept(outside: Outside) -> None:
    """A sleeper of a .NET host, nine days old: the second and last part of its timer is over."""
    await quiet_hub(outside).create_hub()
    execution_id = new_id()
    row = {**pending_row(outside, "nap", execution_id, "sleeper"), "RuntimeStatus": "Running"}
    await outside.insert(outside.names.instances, row | {"Input": "null"})
    began = datetime.now(UTC) - timedelta(days=9)
    middle, end = began + timedelta(days=3), began + timedelta(days=8)
    instance = json.dumps({"InstanceId": "nap", "ExecutionId": execution_id})
    events: list[tuple[datetime, dict[str, Any]]] = [
        (began, {"EventType": "OrchestratorStarted"}),
        (
            began,
            {
                "EventType": "ExecutionStarted",
                "OrchestrationInstance": instance,
                "ParentInstance": "null",
                "Name": "sleeper",
                "Version": "",
                "ParentTraceContext": "null",
                "Tags": "null",
            },
        ),
        (began, {"EventType": "TimerCreated", "EventId": 0, "FireAt": middle}),
        (began, {"EventType": "OrchestratorCompleted"}),
        (middle, {"EventType": "OrchestratorStarted"}),
        (middle, {"EventType": "TimerFired", "TimerId": 0, "FireAt": middle}),
        (middle, {"EventType": "TimerCreated", "EventId": 1, "FireAt": end}),
        (middle, {"EventType": "OrchestratorCompleted"}),
    ]
    for position, (time, event) in enumerate(events):
        common = {"EventId": -1, "IsPlayed": False, "_Timestamp": time}
        key = {"PartitionKey": "nap", "RowKey": f"{position:016X}", "ExecutionId": execution_id}
        await outside.insert(outside.names.history, {**common, **key, **event})
    key = {"PartitionKey": "nap", "RowKey": "sentinel", "ExecutionId": execution_id}
    await outside.insert(outside.names.history, {**key, "IsCheckpointComplete": True})
    fired = {"TimerId": 1, "FireAt": end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    message = official("TimerFiredEvent", 11, "nap", execution_id, fired)
    await outside.put(outside.control("nap"), message)


async def test_a_timer_that_a_dotnet_host_has_cut_comes_to_its_end(outside: Outside) -> None:
    await half_slept(outside)
    async with Host(quiet_hub(outside), {"sleeper": sleeper}) as host:
        state = await host.wait_for("nap")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, '"rested"')


async def test_a_timer_that_a_dotnet_host_has_cut_comes_to_its_end_elsewhere(
    outside: Outside, tmp_path: Path
) -> None:
    await half_slept(outside)
    await move(quiet_hub(outside), sqlite_hub(tmp_path), tmp_path)
    async with Host(sqlite_hub(tmp_path), {"sleeper": sleeper}) as there:
        state = await there.wait_for("nap")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, '"rested"')


def patient(context: Any) -> Any:
    """Waits for an event, or ten days; twice."""
    far = context.create_timer(context.current_utc_datetime + timedelta(days=10))
    yield context.task_any([far, context.wait_for_external_event("go")])
    if context.get_input() is None:
        context.continue_as_new("again")
        return None
    return context.get_input()


async def test_a_long_timer_stays_whole_where_it_is_moved_to_and_the_next_is_cut(
    outside: Outside, tmp_path: Path
) -> None:
    async def timers(host: Host) -> list[int]:
        """Days until each timer that the history has, rounded."""
        history = await whole_history(host.hub, "p")
        found = [event for event in history if isinstance(event, TimerCreated)]
        return [round((event.fire_at - event.timestamp) / timedelta(days=1)) for event in found]

    async def wait_for(host: Host, cut: int) -> None:
        async def has_begun() -> bool:
            return await timers(host) == [cut]

        await until(has_begun, f"a timer of {cut} days")

    async with Host(sqlite_hub(tmp_path), {"patient": patient}) as host:
        await host.client.start("patient", instance_id="p")
        await wait_for(host, 10)
    await move(sqlite_hub(tmp_path), quiet_hub(outside), tmp_path)
    async with Host(quiet_hub(outside), {"patient": patient}) as host:
        assert await timers(host) == [10]
        await host.client.raise_event("p", "go", "1")
        await wait_for(host, 3)
    [row] = [r for r in await outside.history() if r["EventType"] == "ExecutionStarted"]
    assert not [column for column in row if column.startswith("FuncPyWhole")]
    await move(quiet_hub(outside), sqlite_hub(tmp_path / "back"), tmp_path)
    async with Host(sqlite_hub(tmp_path / "back"), {"patient": patient}) as host:
        assert await timers(host) == [3]
        await host.client.raise_event("p", "go", "1")
        state = await host.wait_for("p")
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, '"again"')


def everything(context: Any) -> Any:
    """Waits for one of everything that there is to wait for."""
    squares = [(yield context.call_activity("square", 2))]
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    squares += yield context.call_sub_orchestrator("chain", 1, "kid")
    try:
        yield context.call_activity("square", "x")
    except Exception as error:  # noqa: BLE001 - the SDK raises just that
        squares.append("no" in str(error))
    squares.append((yield context.call_entity(df.EntityId("counter", "e"), "add", 1)))
    squares.append((yield context.wait_for_external_event("go")))
    return [*squares, (yield context.call_activity("square", 3))]


async def test_every_event_that_a_dotnet_host_stores_is_read(outside: Outside) -> None:
    """All is done but the last activity, whose message waits; the result of one is in a blob."""
    hub = quiet_hub(outside)
    await hub.create_hub()
    execution_id = new_id()
    row = {**pending_row(outside, "all", execution_id, "everything"), "RuntimeStatus": "Running"}
    row |= {"Input": "null", "CustomStatus": '"waits"', "ScheduledStartTime": row["CreatedTime"]}
    await outside.insert(outside.names.instances, row)
    instance = json.dumps({"InstanceId": "all", "ExecutionId": execution_id})
    null = {"ParentTraceContext": "null", "Tags": "null"}
    began = datetime.now(UTC) - timedelta(hours=2)
    due = began + timedelta(hours=1)
    asked = request("add", input='"1"', parent="all", parentExecution=execution_id)
    container = outside.blobs.get_container_client(outside.names.large_messages)
    await container.create_container()
    long_result = "all/history-0000000000000005-TaskCompleted-0A1B2C3D-Result.json.gz"
    await container.upload_blob(long_result, gzip.compress(b"4"))
    turn = [{"EventType": "OrchestratorCompleted"}, {"EventType": "OrchestratorStarted"}]
    child = {"Name": "chain", "Version": "", "InstanceId": "kid", "Tags": "null"}
    failed = {"TaskScheduledId": 3, "Reason": "no", "Details": "at x", "FailureDetails": "null"}
    raised = {"EventType": "EventRaised", "ParentTraceContext": "null"}
    events: list[dict[str, Any]] = [
        {"EventType": "OrchestratorStarted"},
        {
            "EventType": "ExecutionStarted",
            "OrchestrationInstance": instance,
            "ParentInstance": "null",
            "Name": "everything",
            "Version": "",
            "Generation": 0,
            "GenerateNewTrace": False,
            "ScheduledStartTime": began,
            **null,
        },
        {"EventType": "TaskScheduled", "EventId": 0, "Name": "square", "Version": "", **null},
        *turn,
        {
            "EventType": "TaskCompleted",
            "TaskScheduledId": 0,
            "Result": "",
            "ResultBlobName": long_result,
        },
        {"EventType": "TimerCreated", "EventId": 1, "FireAt": due},
        *turn,
        {"EventType": "ExecutionSuspended", "Reason": "later"},
        {"EventType": "ExecutionResumed", "Reason": "now"},
        {"EventType": "TimerFired", "TimerId": 1, "FireAt": due},
        {"EventType": "SubOrchestrationInstanceCreated", "EventId": 2, **child},
        *turn,
        {
            "EventType": "SubOrchestrationInstanceCompleted",
            "TaskScheduledId": 2,
            "Result": "[0]",
        },
        {"EventType": "TaskScheduled", "EventId": 3, "Name": "square", "Version": "", **null},
        *turn,
        {"EventType": "TaskFailed", **failed},
        {
            "EventType": "EventSent",
            "EventId": 4,
            "InstanceId": "@counter@e",
            "Name": "op",
            "Input": json.dumps(asked),
        },
        *turn,
        {**raised, "Name": asked["id"], "Input": '{"result":"7"}'},
        {"EventType": "GenericEvent", "Data": "of no meaning"},
        *turn,
        {**raised, "Name": "GO", "Input": '"went"'},
        {"EventType": "TaskScheduled", "EventId": 5, "Name": "square", "Version": "", **null},
        {"EventType": "OrchestratorCompleted"},
    ]
    for position, event in enumerate(events):
        # The turn after the timer is the one that is late.
        time = began + timedelta(seconds=position) + (due - began if position > 8 else timedelta())
        common = {"EventId": -1, "IsPlayed": False, "_Timestamp": time}
        key = {"PartitionKey": "all", "RowKey": f"{position:016X}", "ExecutionId": execution_id}
        await outside.insert(outside.names.history, {**common, **key, **event})
    key = {"PartitionKey": "all", "RowKey": "sentinel", "ExecutionId": execution_id}
    await outside.insert(outside.names.history, {**key, "IsCheckpointComplete": True})
    members = {"Name": "square", "Version": "", "Input": "[3]", "ParentTraceContext": None}
    call = official("TaskScheduledEvent", 4, "all", execution_id, {**members, "Tags": None})
    call["TaskMessage"]["Event"]["EventId"] = 5
    await outside.put(outside.names.work_items, call, as_base64=True)
    async with Host(hub, {"everything": everything}, {"square": lambda n: n * n}) as host:
        state = await host.wait_for("all")
        assert json.loads(state.output or "") == [4, 0, True, 7, "went", 9]
        assert state.custom_status == '"waits"'
    table = outside.tables.get_table_client(outside.names.instances)
    stored = await table.get_entity("all", "")
    assert (stored["RuntimeStatus"], stored["Generation"]) == ("Completed", 0)
    assert "ScheduledStartTime" in stored, "columns that mean nothing here stay"


async def test_an_activity_of_a_dotnet_host_is_run_and_answered(outside: Outside) -> None:
    """Its orchestration was asked for by a turn that ended before this host began."""
    await quiet_hub(outside).create_hub()
    execution_id = new_id()
    row = {**pending_row(outside, "call", execution_id, "chain"), "RuntimeStatus": "Running"}
    row |= {"Input": "1", "CustomStatus": "null"}
    await outside.insert(outside.names.instances, row)
    time = datetime.now(UTC)
    instance = json.dumps({"InstanceId": "call", "ExecutionId": execution_id})
    events: list[dict[str, Any]] = [
        {"EventType": "OrchestratorStarted"},
        {
            "EventType": "ExecutionStarted",
            "OrchestrationInstance": instance,
            "ParentInstance": "null",
            "Name": "chain",
            "Input": "1",
        },
        {"EventType": "TaskScheduled", "EventId": 0, "Name": "square", "Tags": "null"},
        {"EventType": "OrchestratorCompleted"},
    ]
    for position, event in enumerate(events):
        common = {"EventId": -1, "IsPlayed": False, "_Timestamp": time}
        key = {"PartitionKey": "call", "RowKey": f"{position:016X}", "ExecutionId": execution_id}
        await outside.insert(outside.names.history, {**common, **key, **event})
    key = {"PartitionKey": "call", "RowKey": "sentinel", "ExecutionId": execution_id}
    await outside.insert(outside.names.history, {**key, "IsCheckpointComplete": True})
    members = {"Name": "square", "Version": "", "Input": "[0]", "ParentTraceContext": None}
    call = official("TaskScheduledEvent", 4, "call", execution_id, {**members, "Tags": None})
    call["TaskMessage"]["Event"]["EventId"] = 0
    await outside.put(outside.names.work_items, call)
    async with outside.host() as host:
        state = await host.wait_for("call")
        assert [task.attempt for task in host.activities.calls] == [1]
    assert (state.status, state.output) == (RuntimeStatus.COMPLETED, "[0]")


async def test_a_tool_suspends_resumes_and_terminates(outside: Outside) -> None:
    async with outside.host() as host:
        await host.client.start("carries", instance_id="i", input="-1")
        await host.wait_for("i", RuntimeStatus.RUNNING)
        control = outside.control("i")
        for kind, number, members, status in (
            ("ExecutionSuspendedEvent", 19, {"Reason": "later"}, RuntimeStatus.SUSPENDED),
            ("ExecutionResumedEvent", 20, {"Reason": "now"}, RuntimeStatus.RUNNING),
            ("ExecutionTerminatedEvent", 3, {"Input": "enough"}, RuntimeStatus.TERMINATED),
        ):
            await outside.put(control, official(kind, number, "i", None, members))
            await host.wait_for("i", status)
        state = await host.client.get("i")
    assert state is not None
    assert state.output == "enough"


async def test_an_official_client_rewinds_with_a_message(outside: Outside) -> None:
    calls: list[int] = []

    def flaky(number: int) -> int:
        calls.append(number)
        if len(calls) == 1:
            raise ValueError("not yet")
        return number * number

    def family(context: Any) -> Any:
        return (yield context.call_sub_orchestrator("child", 3, "kid"))

    def child(context: Any) -> Any:
        return (yield context.call_activity("flaky", context.get_input()))

    functions = {"family": family, "child": child}
    async with Host(quiet_hub(outside), functions, {"flaky": flaky}) as host:
        await host.client.start("family", instance_id="p")
        await host.wait_for("p", RuntimeStatus.FAILED)
        members = {"Reason": "again", "ParentExecutionId": None, "InstanceId": None}
        message = official("ExecutionRewoundEvent", 21, "p", None, members)
        await outside.put(outside.control("p"), message)
        state = await host.wait_for("p", RuntimeStatus.COMPLETED)
    assert (state.output, calls) == ("9", [3, 3])


async def test_an_event_of_a_tool_reaches_the_orchestration(outside: Outside) -> None:
    async with outside.host() as host:
        await host.client.start("carries", instance_id="i", input="-1")
        await host.wait_for("i", RuntimeStatus.RUNNING)
        members = {"Name": "TOLD", "Input": '"x"', "ParentTraceContext": None}
        raised = official("EventRaisedEvent", 15, "i", None, members)
        await outside.put(outside.control("i"), raised)
        state = await host.wait_for("i")
    assert state.status is RuntimeStatus.COMPLETED


async def test_a_signal_of_a_dotnet_client_reaches_an_entity(outside: Outside) -> None:
    async with outside.host() as host:
        request = {"op": "add", "signal": True, "input": "5", "id": str(uuid.uuid4())}
        members = {"Name": "op", "Input": json.dumps(request), "ParentTraceContext": None}
        signal = official("EventRaisedEvent", 15, "@counter@c", None, members)
        await outside.put(outside.control("@counter@c"), signal)
        state = await host.wait_for("@counter@c", RuntimeStatus.RUNNING)
    assert state.entity is not None
    assert json.loads(state.entity.state or "") == 5


def request(operation: str | None, **members: Any) -> dict[str, Any]:
    """A request to an entity, as .NET writes it."""
    return {
        "op": operation,
        "id": str(uuid.uuid4()),
        "Timestamp": "0001-01-01T00:00:00",
        "Predecessor": "0001-01-01T00:00:00",
        "IsLockRequest": "lockset" in members,
        "createTrace": False,
        **members,
    }


async def send_to_entity(
    outside: Outside, entity: str, content: Mapping[str, Any] | None, name: str = "op"
) -> None:
    """Put a message into the mail of an entity."""
    text = None if content is None else json.dumps(content)
    members = {"Name": name, "Input": text, "ParentTraceContext": None}
    await outside.put(
        outside.control(entity), official("EventRaisedEvent", 15, entity, None, members)
    )


async def store_entity(outside: Outside, entity: str, scheduler: Mapping[str, Any]) -> None:
    """Store what .NET leaves of an entity after a turn."""
    execution_id = new_id()
    text = json.dumps(scheduler)
    row = pending_row(outside, entity, execution_id, entity)
    row |= {"RuntimeStatus": "Running", "Input": text, "CustomStatus": '{"entityExists":true}'}
    await outside.insert(outside.names.instances, row)
    instance = json.dumps({"InstanceId": entity, "ExecutionId": execution_id})
    events: list[dict[str, Any]] = [
        {"EventType": "OrchestratorStarted"},
        {
            "EventType": "ExecutionStarted",
            "OrchestrationInstance": instance,
            "Name": entity,
            "Input": text,
        },
        {"EventType": "OrchestratorCompleted"},
    ]
    for position, event in enumerate(events):
        key = {"PartitionKey": entity, "RowKey": f"{position:016X}", "ExecutionId": execution_id}
        common = {"EventId": -1, "IsPlayed": False, "_Timestamp": datetime.now(UTC)}
        await outside.insert(outside.names.history, {**common, **key, **event})
    key = {"PartitionKey": entity, "RowKey": "sentinel", "ExecutionId": execution_id}
    await outside.insert(outside.names.history, {**key, "IsCheckpointComplete": True})


async def until_entity(host: Host, entity: str, state: str | None, **others: Any) -> InstanceState:
    """Wait until an entity is as described."""

    async def reached() -> InstanceState | None:
        found = await host.hub.get_instance(entity)
        if found is None or found.entity is None or found.entity.state != state:
            return None
        is_other = any(getattr(found.entity, name) != value for name, value in others.items())
        return None if is_other else found

    return await until(reached, f"{entity} to have the state {state}")


async def test_an_entity_that_dotnet_stored_goes_on_with_what_it_had_queued(
    outside: Outside,
) -> None:
    """It was locked, and held back a request that had come before an earlier one."""
    await quiet_hub(outside).create_hub()
    early = {"2026-01-01T00:00:00Z": request("add", signal=True, input="100", parent="other")}
    scheduler = {
        "exists": True,
        "state": "1",
        "queue": [request("add", signal=True, input="10")],
        "lockedBy": "holder",
        "sorter": {"ReceivedFromInstance": {"other": {"Last": stamp(), "Buffered": early}}},
    }
    await store_entity(outside, "@counter@q", scheduler)
    await store_entity(outside, "@counter@n", {"exists": True, "state": "41", "sorter": {}})
    twice = request("add", signal=True, input="1")
    await send_to_entity(outside, "@counter@n", twice)
    await send_to_entity(outside, "@counter@n", twice)
    await send_to_entity(outside, "@counter@q", request("add", signal=True, input="1000"))
    async with outside.host() as host:
        await until_entity(host, "@counter@n", "42")
        await send_to_entity(
            outside, "@counter@q", request("add", signal=True, input="1", parent="holder")
        )
        await until_entity(host, "@counter@q", "2", locked_by="holder")
        await send_to_entity(outside, "@counter@q", {"parent": "holder", "id": "l"}, "release")
        state = await until_entity(host, "@counter@q", "1112")
        assert state.entity is not None
        assert (state.entity.locked_by, state.entity.queue) == (None, ())
        await until_entity(host, "@counter@n", "42")


async def test_a_dotnet_orchestration_locks_entities(outside: Outside) -> None:
    """While they are locked, others wait; a request that is not due yet waits as well."""

    def locker(context: Any) -> Any:
        return (yield context.wait_for_external_event(context.get_input()))

    keys = ("k1", "k2")
    entities = [f"@counter@{key}" for key in keys]
    async with Host(quiet_hub(outside), {"locker": locker}, entities={"counter": counter}) as host:
        due = datetime.now(UTC) + timedelta(milliseconds=600)
        await send_to_entity(
            outside,
            "@counter@later",
            request("add", signal=True, input="1", due=due.isoformat()),
            f"op@{due.isoformat()}",
        )
        lock_id = str(uuid.uuid4())
        await host.client.start("locker", instance_id="p", input=json.dumps(lock_id))
        parent = await host.wait_for("p", RuntimeStatus.RUNNING)
        lock = request(
            None,
            id=lock_id,
            parent="p",
            parentExecution=parent.execution_id,
            lockset=[{"name": "counter", "key": key} for key in keys],
        )
        await send_to_entity(outside, entities[0], lock)
        granted = await host.wait_for("p")
        assert json.loads(granted.output or "") == {"result": "Lock Acquisition Completed"}
        table = outside.tables.get_table_client(outside.names.instances)
        for entity in entities:
            row = await table.get_entity(entity, "")
            assert json.loads(row["Input"])["lockedBy"] == "p"
            assert json.loads(row["CustomStatus"]) == {"lockedBy": "p"}
            await send_to_entity(outside, entity, request("add", signal=True, input="5"))
            await send_to_entity(
                outside, entity, request("add", signal=True, input="10", parent="p")
            )
        for entity in entities:
            await until_entity(host, entity, "10")
            await send_to_entity(outside, entity, {"parent": "p", "id": lock_id}, "release")
        for entity in entities:
            await until_entity(host, entity, "15", locked_by=None)
        later = await until_entity(host, "@counter@later", "1")
        assert later.last_updated_at >= due


async def test_a_message_that_nobody_can_read_holds_nothing_up(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    await quiet_hub(outside).create_hub()
    for text in ("nonsense", "{}", '{"TaskMessage": {"Event": {"EventType": 99}}}'):
        queue = outside.queues.get_queue_client(outside.control("i"))
        await queue.send_message(text, time_to_live=-1)
    async with outside.host() as host:
        await host.client.start("chain", instance_id="i", input="1")
        assert (await host.wait_for("i")).status is RuntimeStatus.COMPLETED
    assert "cannot be read" in caplog.text

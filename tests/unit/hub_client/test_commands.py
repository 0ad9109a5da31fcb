"""Commands on a task hub from outside, while a host runs on it and while none does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host, until
from support.voice import Voice

from func_py.clock import RealClock
from func_py.config.host_json import load_host_config
from func_py.config.settings import HostConfig
from func_py.durable.model import RuntimeStatus
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect
from func_py.errors import TaskHubNotFound, UserError
from func_py.hub_client import HubCommands, Selection
from func_py.hub_client.place import opened

Orchestration = Generator[Any, Any, Any]
Opened = Callable[..., AbstractAsyncContextManager[HubCommands]]

NOBODY = "No host runs on the task hub 'TestHub': the next one takes it up."


def echo(context: Any) -> Orchestration:
    return (yield context.call_activity("same", context.get_input()))


def waits(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("Go"))


def fails_once(context: Any) -> Orchestration:
    return (yield context.call_activity("fail_once", None))


def counter(context: Any) -> None:
    context.set_state(context.get_state(lambda: 0) + context.get_input())


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    content = {"version": "2.0", "extensions": {"durableTask": {"hubName": "TestHub"}}}
    (tmp_path / "host.json").write_text(json.dumps(content))
    return load_host_config(tmp_path, {})


@pytest.fixture
def voice() -> Voice:
    return Voice()


@pytest.fixture
def commands(config: HostConfig, voice: Voice) -> Opened:
    """Opens the hub as the command line does."""

    def open_hub(*, create: bool = False) -> AbstractAsyncContextManager[HubCommands]:
        return opened(config, RealClock(), voice, create=create)

    return open_hub


class HastyHub(SqlTaskHub):
    """Looks for the mail of other processes without delay."""

    def __init__(self, config: HostConfig) -> None:
        dialect = SqliteDialect(config.state_dir, config.durable.hub_name)
        super().__init__(dialect, config.durable.hub_name, 4, timedelta(milliseconds=5))


@asynccontextmanager
async def running(hub: TaskHub) -> AsyncIterator[Host]:
    failures = iter([True])

    def fail_once(_: object) -> str:
        if next(failures, False):
            raise ValueError("not yet")
        return "done"

    functions = {"echo": echo, "waits": waits, "fails_once": fails_once}
    activities = {"same": lambda value: value, "fail_once": fail_once}
    async with Host(hub, functions, activities, entities={"Counter": counter}) as host:
        yield host


@pytest.fixture
async def host(config: HostConfig) -> AsyncIterator[Host]:
    async with running(HastyHub(config)) as host:
        yield host


@pytest.mark.parametrize("text", ["5", '"5"', '"five"', '[1, "2"]', '{"a": null}', "null"])
async def test_an_input_arrives_as_it_was_written(host: Host, commands: Opened, text: str) -> None:
    async with commands() as hub:
        await hub.start("echo", "a", text)

    state = await host.wait_for("a")

    assert json.loads(state.output or "null") == json.loads(text)


async def test_start_says_the_id(host: Host, commands: Opened, voice: Voice) -> None:
    async with commands() as hub:
        await hub.start("Echo", "", None)

    assert voice.told[0].startswith("Started 'Echo' at 20")
    instance_id = voice.told[0].split("'")[3]
    assert voice.told[0].endswith(f"Z. Instance ID: '{instance_id}'.")
    assert (await host.wait_for(instance_id)).status is RuntimeStatus.COMPLETED
    assert voice.remarks == []


async def test_a_misspelt_orchestrator_is_found_out_while_a_host_runs(
    host: Host, commands: Opened
) -> None:
    async with commands() as hub:
        with pytest.raises(UserError, match=r"Did you mean 'echo'?") as caught:
            await hub.start("echoo", "a", None)
        assert str(caught.value).startswith(
            "Could not start new instance 'a'. The function 'echoo'"
        )


async def test_a_taken_id_is_told(host: Host, commands: Opened) -> None:
    async with commands() as hub:
        await hub.start("waits", "a", None)
        with pytest.raises(UserError, match=r"Could not start new instance 'a'. An Orch"):
            await hub.start("waits", "a", None)


async def test_the_client_is_no_owner_and_leaves_no_trace(
    config: HostConfig, commands: Opened
) -> None:
    async with commands(create=True) as hub:
        await hub.start("echo", "a", "1")
        async with running(HastyHub(config)) as host:
            await host.wait_for("a")
    async with running(HastyHub(config)) as host:
        assert [record.host_id for record in await host.hub.hosts()] == [host.host_id]


async def test_without_a_host_the_next_one_takes_it_up(
    config: HostConfig, commands: Opened, voice: Voice
) -> None:
    async with commands(create=True) as hub:
        await hub.start("waits", "a", None)
        await hub.raise_event("a", "Go", '{"x": 1}')
        await hub.start("waits", "b", None)
        await hub.terminate("b", "too late")
    assert voice.remarks == [NOBODY] * 4
    assert voice.told[3] == "Sent a termination message to instance 'b'."

    async with running(HastyHub(config)) as host:
        assert (await host.wait_for("a")).output == '{"x": 1}'
        assert (await host.wait_for("b")).status is RuntimeStatus.TERMINATED


async def test_without_a_host_that_is_why(commands: Opened) -> None:
    async with commands(create=True) as hub:
        await hub.start("waits", "a", None)
        found = await hub.why("a")

    assert found.title.startswith("Orchestration 'waits', instance 'a': Pending, started ")
    assert [reason.text for reason in found.reasons] == [
        "no host runs on this task hub: `func-py start` goes on with it"
    ]


async def test_without_a_host_the_app_says_what_it_waits_for(
    config: HostConfig, commands: Opened
) -> None:
    async with running(HastyHub(config)) as host:
        await host.client.start("waits", instance_id="a")
        await host.wait_for("a", RuntimeStatus.RUNNING)
    async with commands() as hub:
        same = await hub.why("a", {"waits": waits})
        edited = await hub.why("a", {"waits": echo})
        without = await hub.why("a", {})

    assert [reason.kind for reason in same.reasons] == ["host", "event"]
    assert same.reasons[1].text == "it waits for the event 'Go', which has not come"
    assert edited.reasons[1].text == (
        "its code asks for activity 'same' (#0), which is not in its history yet"
    )
    assert without.reasons[1].text.endswith(": the app has no orchestrator 'waits'")


async def test_there_is_no_why_of_what_does_not_exist(host: Host, commands: Opened) -> None:
    async with commands() as hub:
        with pytest.raises(UserError, match=r"Could not find an .* with id 'nobody'"):
            await hub.why("nobody")


@pytest.mark.parametrize("create", [False, True])
async def test_only_what_stores_something_makes_a_hub(
    commands: Opened, config: HostConfig, create: bool
) -> None:
    if create:
        async with commands(create=True) as hub:
            assert (await hub.instances(Selection(), 10, "")).items == []
    else:
        with pytest.raises(TaskHubNotFound, match=r"There is no task hub at .*TestHub.db yet"):
            async with commands():
                pass
        assert not config.state_dir.exists()


async def test_status_has_input_and_output_on_demand(host: Host, commands: Opened) -> None:
    await host.client.start("echo", instance_id="a", input="[1]")
    await host.wait_for("a")
    async with commands() as hub:
        plain = await hub.status("a", show_input=False, show_output=False)
        full = await hub.status("a", show_input=True, show_output=True)

    assert list(plain) == [
        "name",
        "instanceId",
        "runtimeStatus",
        "customStatus",
        "createdTime",
        "lastUpdatedTime",
    ]
    assert (full["input"], full["output"]) == ([1], [1])


async def test_history_shows_values(host: Host, commands: Opened) -> None:
    await host.client.start("echo", instance_id="a", input="[1]")
    await host.wait_for("a")
    async with commands() as hub:
        history = await hub.history("a")

    assert [entry["EventType"] for entry in history] == [
        "ExecutionStarted",
        "TaskCompleted",
        "ExecutionCompleted",
    ]
    assert history[1]["Result"] == [1]


async def test_instances_are_listed_in_pages_and_by_status(host: Host, commands: Opened) -> None:
    for instance_id in ("a", "b", "c"):
        await host.client.start("echo", instance_id=instance_id)
        await host.wait_for(instance_id)
    await host.client.start("waits", instance_id="d")
    await host.wait_for("d", RuntimeStatus.RUNNING)
    done = Selection(statuses=("COMPLETED", "failed"))
    async with commands() as hub:
        first = await hub.instances(done, 2, "")
        rest = await hub.instances(done, 2, first.continuation)
        none = await hub.instances(
            Selection(created_before=datetime(2001, 1, 1, tzinfo=UTC)), 10, ""
        )
        with pytest.raises(UserError, match=r"'done' is not a runtime status. Known are: Pending,"):
            await hub.instances(Selection(statuses=("done",)), 10, "")

    assert [item["instanceId"] for item in first.items] == ["a", "b"]
    assert [item["instanceId"] for item in rest.items] == ["c"]
    assert rest.continuation == ""
    assert none.items == []


async def test_terminate_waits_for_the_end(host: Host, commands: Opened, voice: Voice) -> None:
    await host.client.start("waits", instance_id="a")
    await host.wait_for("a", RuntimeStatus.RUNNING)
    async with commands() as hub:
        await hub.terminate("a", "enough")

    sent, done = voice.told
    assert sent == (
        "Sent a termination message to instance 'a'. Waiting up to 30 seconds for the "
        "orchestration to actually terminate..."
    )
    assert done == "Successfully terminated 'a'"
    assert (await host.wait_for("a")).output == "enough"


async def test_suspend_and_resume(host: Host, commands: Opened, voice: Voice) -> None:
    await host.client.start("waits", instance_id="a")
    await host.wait_for("a", RuntimeStatus.RUNNING)
    async with commands() as hub:
        await hub.suspend("a", "")
        await host.wait_for("a", RuntimeStatus.SUSPENDED)
        await hub.resume("a", "")
        await host.wait_for("a", RuntimeStatus.RUNNING)
        await hub.raise_event("a", "Go", None)
        await host.wait_for("a")

    assert voice.told == [
        "Sent a suspension message to instance 'a'.",
        "Sent a message to resume instance 'a'.",
        "Raised event 'Go' to instance 'a'.",
    ]


async def test_rewind_tells_the_status_before_and_after(
    host: Host, commands: Opened, voice: Voice
) -> None:
    await host.client.start("fails_once", instance_id="a")
    assert (await host.wait_for("a")).status is RuntimeStatus.FAILED
    async with commands() as hub:
        await hub.rewind("a", "try again")
        state = await host.wait_for("a", RuntimeStatus.COMPLETED)
        with pytest.raises(UserError, match=r"not rewound. Must have a status of 'Failed'"):
            await hub.rewind("a", "")

    assert state.output == '"done"'
    assert voice.told[:2] == [
        "Rewind message sent to instance 'a'. Retrieving new status now...",
        "Status before rewind: Failed",
    ]
    assert voice.told[2] in ("Status after rewind: Running", "Status after rewind: Completed")


@pytest.mark.parametrize("new_instance_id", [True, False])
async def test_restart_repeats_an_orchestration(
    host: Host, commands: Opened, voice: Voice, new_instance_id: bool
) -> None:
    await host.client.start("echo", instance_id="a", input="7")
    await host.wait_for("a")
    async with commands() as hub:
        await hub.restart("a", new_instance_id=new_instance_id)

    instance_id = voice.told[0].split("'")[3]
    assert (instance_id == "a") is not new_instance_id
    assert (await host.wait_for(instance_id)).output == "7"


async def test_entities_are_signaled_shown_and_listed(
    host: Host, commands: Opened, voice: Voice
) -> None:
    async with commands() as hub:
        await hub.signal_entity("Counter", "k", "add", "3")
        await until(lambda: host.client.read_entity("Counter", "k"), "the entity")
        state = await hub.entity("counter", "k")
        page = await hub.entities("", 10, "", show_state=True)
        with pytest.raises(
            UserError, match=r"Could not find an entity 'Counter' with key 'other'."
        ):
            await hub.entity("Counter", "other")
        with pytest.raises(UserError, match=r"Could not signal entity 'Countr'.*'counter'"):
            await hub.signal_entity("Countr", "k", "add", "3")

    assert state == 3
    assert [item["entityId"] for item in page.items] == [{"name": "counter", "key": "k"}]
    assert page.items[0]["state"] == 3
    assert voice.told == ["Signaled operation 'add' to entity 'Counter' with key 'k'."]


async def test_finished_instances_are_purged_and_others_stay(
    host: Host, commands: Opened, voice: Voice
) -> None:
    for instance_id in ("a", "b", "c"):
        await host.client.start("echo", instance_id=instance_id)
        await host.wait_for(instance_id)
    await host.client.start("waits", instance_id="d")
    await host.wait_for("d", RuntimeStatus.RUNNING)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    until_now = datetime(2100, 1, 1, tzinfo=UTC)
    async with commands() as hub:
        await hub.purge("a")
        with pytest.raises(UserError, match=r"is in the Running state.*No instance was purged"):
            await hub.purge("d", recursive=True)
        await hub.purge_all(
            Selection(created_after=since, created_before=until_now, statuses=("Completed",))
        )
        await hub.purge_all(Selection())
        left = await hub.instances(Selection(), 10, "")

    assert [item["instanceId"] for item in left.items] == ["d"]
    assert voice.told[1] == (
        "Purged orchestration history for all instances created between '2020-01-01T00:00:00Z' and "
        "'2100-01-01T00:00:00Z' and whose runtime status matched one of the following: [Completed]"
    )
    deleted = [text for text in voice.told if text.startswith("Instances deleted")]
    assert deleted == [f"Instances deleted: {count}" for count in (1, 2, 0)]


COMMANDS: list[tuple[Callable[[HubCommands], Any], str]] = [
    (
        lambda hub: hub.status("x", show_input=True, show_output=True),
        "Could not find an orchestration instance with id 'x'",
    ),
    (lambda hub: hub.history("x"), "Could not find an orchestration instance with id 'x'"),
    (lambda hub: hub.rewind("x", ""), "Could not find an orchestration instance with id 'x'"),
    (
        lambda hub: hub.restart("x", new_instance_id=True),
        "Could not find an orchestration instance with id 'x'",
    ),
    (lambda hub: hub.purge("x"), "Could not find an orchestration instance with id 'x'"),
    (
        lambda hub: hub.raise_event("x", "Go", None),
        "Failed to find instance 'x'. No event was raised.",
    ),
    (
        lambda hub: hub.terminate("x", ""),
        "Failed to find instance 'x'. No instance was terminated.",
    ),
    (lambda hub: hub.suspend("x", ""), "Failed to find instance 'x'. No instance was suspended."),
    (lambda hub: hub.resume("x", ""), "Failed to find instance 'x'. No instance was resumed."),
]


async def test_commands_say_that_there_is_no_such_instance(commands: Opened) -> None:
    async with commands(create=True) as hub:
        for command, text in COMMANDS:
            with pytest.raises(UserError) as caught:
                await command(hub)
            assert str(caught.value) == text


async def test_commands_that_come_too_late_say_so(host: Host, commands: Opened) -> None:
    await host.client.start("echo", instance_id="a")
    await host.wait_for("a")
    async with commands() as hub:
        with pytest.raises(UserError, match=r"Instance 'a' is Completed. No event was raised."):
            await hub.raise_event("a", "Go", None)

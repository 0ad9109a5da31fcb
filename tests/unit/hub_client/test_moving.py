"""Task hubs that move between stores while orchestrations are under way."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host, until
from support.voice import Voice

from func_py.config.host_json import load_host_config
from func_py.config.local_settings import app_environment, load_local_settings
from func_py.durable.model import RuntimeStatus, new_id
from func_py.durable.moving import HubFile
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.errors import TaskHubNotFound, UserError
from func_py.hub_client import HubPlace, configured_hub
from func_py.hub_client.moving import export_to, import_from

Orchestration = Generator[Any, Any, Any]

APP = """
import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def parent(context):
    yield context.call_activity("say")
    said = yield context.call_activity("say", "first")
    child = yield context.call_sub_orchestrator("child", None, "the-child")
    last = yield context.call_activity("say", "last")
    return [said, child, last]


@app.orchestration_trigger(context_name="context")
def child(context):
    return (yield context.wait_for_external_event("Go"))


@app.activity_trigger(input_name="text")
def say(text):
    return text
"""


def parent(context: Any) -> Orchestration:
    yield context.call_activity("say")
    said = yield context.call_activity("say", "first")
    child = yield context.call_sub_orchestrator("child", None, "the-child")
    last = yield context.call_activity("say", "last")
    return [said, child, last]


def child(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("Go"))


def sleeper(context: Any) -> Orchestration:
    due = context.current_utc_datetime.replace(year=context.current_utc_datetime.year + 1)
    yield context.create_timer(due)


def counter(context: Any) -> None:
    context.set_state(context.get_state(lambda: 0) + context.get_input())


@pytest.fixture
def voice() -> Voice:
    return Voice()


NewApp = Callable[..., HubPlace]


@pytest.fixture
def new_app(tmp_path: Path, request: pytest.FixtureRequest) -> NewApp:
    """Makes app folders whose hub is in a file, or on a server."""

    def new_app(name: str, provider: str = "sqlite", partitions: int = 4) -> HubPlace:
        root = tmp_path / name
        root.mkdir()
        uri = ""
        storage = {"type": provider, "partitionCount": partitions}
        hub = "Moved"
        if provider == "postgres":
            uri = request.getfixturevalue("postgres_server").uri
            storage |= {"connectionStringName": "DATABASE", "schemaName": f"s{new_id()}"}
        elif provider == "AzureStorage":
            uri = request.getfixturevalue("azurite")
            # Timers are hidden: an export looks that long for something else.
            storage |= {"connectionName": "DATABASE", "controlQueueVisibilityTimeout": "00:00:02"}
            storage["leaseTime"] = "00:00:02"
            hub = f"Moved{new_id()}"
        durable = {"hubName": hub, "storageProvider": storage}
        content = {"version": "2.0", "extensions": {"durableTask": durable}}
        (root / "host.json").write_text(json.dumps(content))
        settings = {"IsEncrypted": False, "Values": {"DATABASE": uri}}
        (root / "local.settings.json").write_text(json.dumps(settings))
        return HubPlace(app_root=root)

    return new_app


def say(text: str) -> Any:
    return text


def host_of(
    place: HubPlace,
    *,
    say: Callable[[str], Any] = say,
    counter: Callable[[Any], None] = counter,
) -> Host:
    """A host of the app, on its hub."""
    root = place.app_root
    environ, _ = app_environment(load_local_settings(root), {}, root, port=0)
    return Host(
        configured_hub(load_host_config(root, environ)),
        {"parent": parent, "child": child, "sleeper": sleeper},
        {"say": say},
        entities={"counter": counter},
    )


async def busy(place: HubPlace) -> None:
    """Leave one of each in the hub: finished, waiting for a child, an event, a timer; an entity."""
    async with host_of(place) as host:
        await host.client.start("parent", instance_id="p")
        await host.wait_for("the-child", RuntimeStatus.RUNNING)
        await host.client.start("sleeper", instance_id="s")
        await host.wait_for("s", RuntimeStatus.RUNNING)
        for _ in range(3):
            await host.client.signal_entity("counter", "c", "add", "2")
        await until(lambda: counts(host, "6"), "the entity to have counted")
        await host.client.start("child", instance_id="done")
        await host.client.raise_event("done", "Go", '"early"')
        await host.wait_for("done", RuntimeStatus.COMPLETED)


async def counts(host: Host, value: str) -> bool:
    """Has the entity counted so far?"""
    entity = await host.client.read_entity("counter", "c")
    return entity is not None and entity.state == value


async def called(host: Host) -> bool:
    """Has an activity begun?"""
    return bool(host.activities.calls)


async def exported(place: HubPlace, file: Path, voice: Voice) -> bool:
    """Export, unless a host is still taken for alive."""
    try:
        await asyncio.to_thread(export_to, place, file, voice)
    except UserError:
        return False
    return True


class TestMoving:
    """From a file to a server and back, and on with the work."""

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("sqlite", "postgres"),
            ("postgres", "sqlite"),
            ("sqlite", "AzureStorage"),
            ("AzureStorage", "sqlite"),
        ],
    )
    async def test_orchestrations_go_on_where_they_were(
        self, new_app: NewApp, voice: Voice, tmp_path: Path, source: str, target: str
    ) -> None:
        place, other = new_app("one", source), new_app("two", target, 7)
        await busy(place)
        file = tmp_path / "hub.jsonl.gz"
        await asyncio.to_thread(export_to, place, file, voice)
        await asyncio.to_thread(import_from, other, file, voice)
        assert "5 instances" in voice.told[0]
        assert "and compared: 5 instances" in voice.told[1]
        async with host_of(other) as host:
            assert await counts(host, "6")
            await host.client.signal_entity("counter", "c", "add", "2")
            await host.client.raise_event("the-child", "Go", '"late"')
            state = await host.wait_for("p")
            assert (state.status, state.output) == (
                RuntimeStatus.COMPLETED,
                '["first", "late", "last"]',
            )
            assert (await host.wait_for("done")).output == '"early"'
            assert [call.input for call in host.activities.calls] == ['"last"']
            sleeping = await host.client.get("s")
            assert sleeping is not None
            assert sleeping.status is RuntimeStatus.RUNNING
            await until(lambda: counts(host, "8"), "the entity to count on")

    async def test_messages_that_nobody_took_move_along(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        place, other = new_app("one"), new_app("two")
        await busy(place)
        async with host_of(place) as host:
            await host.engine.stop(0)
            await host.client.start("child", instance_id="unborn")
            await host.client.raise_event("unborn", "Go", "1")
            await host.client.raise_event("the-child", "Go", '"sent"')
        file = tmp_path / "hub.jsonl"
        await asyncio.to_thread(export_to, place, file, voice)
        await asyncio.to_thread(import_from, other, file, voice)
        async with host_of(other) as host:
            assert (await host.wait_for("unborn")).output == "1"
            assert (await host.wait_for("p")).output == '["first", "sent", "last"]'

    async def test_what_a_killed_host_had_in_its_hands_moves_along(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        """An activity, a message to an entity, and a timer are hidden in the queues."""
        place, other = new_app("one", "AzureStorage"), new_app("two")
        held, released, never = threading.Event(), threading.Event(), asyncio.Event()

        def slow(context: Any) -> None:
            held.set()
            released.wait(20)

        async with host_of(place, say=lambda _: never.wait(), counter=slow) as host:
            await host.client.start("parent", instance_id="p")
            await host.client.start("sleeper", instance_id="s")
            await host.wait_for("s", RuntimeStatus.RUNNING)
            await host.client.signal_entity("counter", "c", "add", "2")
            await asyncio.to_thread(held.wait, 20)
            await until(lambda: called(host), "the activity to run")
            assert isinstance(host.hub, AzureTaskHub)
            await host.hub.die()
            await host.engine.stop(0)
            released.set()
        file = tmp_path / "hub.jsonl"
        await until(lambda: exported(place, file, voice), "the host to be taken for dead")
        assert "messages are hidden in the queues" in voice.remarks[0]
        waiting = [entry.pending for entry in HubFile(file).entries() if entry.pending]
        assert [timer.instance_id for line in waiting for timer in line.timers] == ["s"]
        await asyncio.to_thread(import_from, other, file, voice)
        async with host_of(other) as host:
            await host.wait_for("the-child", RuntimeStatus.RUNNING)
            assert host.activities.calls[0].attempt == 2
            await host.client.raise_event("the-child", "Go", "1")
            assert (await host.wait_for("p")).output == '["first", 1, "last"]'
            await until(lambda: counts(host, "2"), "the entity to count")


class TestRefusals:
    """What is not moved, and what is left then."""

    async def test_a_hub_that_is_not_there_has_nothing_to_export(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        with pytest.raises(TaskHubNotFound):
            await asyncio.to_thread(export_to, new_app("one"), tmp_path / "hub.jsonl", voice)

    async def test_a_hub_with_a_host_is_neither_exported_nor_imported_into(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        place, other = new_app("one"), new_app("two")
        file = tmp_path / "hub.jsonl"
        async with host_of(place):
            with pytest.raises(UserError, match="is open in host"):
                await asyncio.to_thread(export_to, place, file, voice)
        await asyncio.to_thread(export_to, place, file, voice)
        async with host_of(other):
            with pytest.raises(UserError, match="is open in host"):
                await asyncio.to_thread(import_from, other, file, voice)

    async def test_a_file_is_not_overwritten(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        place = new_app("one")
        async with host_of(place):
            pass
        file = tmp_path / "hub.jsonl"
        await asyncio.to_thread(export_to, place, file, voice)
        with pytest.raises(UserError, match="exists already"):
            await asyncio.to_thread(export_to, place, file, voice)

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            (lambda lines: lines[:-1], "it has no end"),
            (lambda lines: [*lines[:-1], lines[-1][:20]], "cannot be read"),
            (lambda lines: [lines[0], *lines[2:]], "checksum|does not belong"),
            (lambda lines: [lines[0], *lines[1:-1], lines[1], lines[-1]], "checksum"),
            (lambda lines: [*lines, lines[1]], "does not belong"),
            (lambda lines: lines[1:], "does not belong"),
            (lambda lines: [lines[0].replace(b'"format":1', b'"format":2')], "format 2"),
            (lambda lines: [b"something else\n"], "is no export"),
            (lambda lines: [], "it has no end"),
        ],
    )
    async def test_a_damaged_file_is_refused_before_anything_is_made(
        self,
        new_app: NewApp,
        voice: Voice,
        tmp_path: Path,
        damage: Callable[[list[bytes]], list[bytes]],
        problem: str,
    ) -> None:
        place, other = new_app("one"), new_app("two")
        async with host_of(place) as host:
            await host.client.start("child", instance_id="a")
        file = tmp_path / "hub.jsonl"
        await asyncio.to_thread(export_to, place, file, voice)
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(damage(lines)))
        with pytest.raises(UserError, match=problem):
            await asyncio.to_thread(import_from, other, file, voice)
        assert not (other.app_root / ".func-py" / "Moved.db").exists()

    async def test_a_compressed_file_that_was_cut_is_refused(
        self, new_app: NewApp, voice: Voice, tmp_path: Path
    ) -> None:
        place = new_app("one")
        await busy(place)
        file = tmp_path / "hub.jsonl.gz"
        await asyncio.to_thread(export_to, place, file, voice)
        data = file.read_bytes()
        assert gzip.decompress(data).startswith(b'{"kind":"hub"')
        file.write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match=r"damaged|no export"):
            await asyncio.to_thread(import_from, new_app("two"), file, voice)


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What loading an app does to a process is undone."""
    monkeypatch.chdir(os.getcwd())
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(os.environ)
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for name in set(os.environ) - set(before):
        del os.environ[name]


@pytest.mark.usefixtures("own_process")
class TestReplays:
    """Would the orchestrations go on with this app?"""

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (("", ""), ""),
            (('"say", "first"', '"shout", "first"'), "Instance 'p': "),
            (("def child", "def kid"), "the app has no orchestrator 'child'"),
        ],
    )
    async def test_each_is_replayed_on_the_app(
        self,
        new_app: NewApp,
        voice: Voice,
        tmp_path: Path,
        change: tuple[str, str],
        problem: str,
    ) -> None:
        place, other = new_app("one"), new_app("two")
        async with host_of(place) as host:
            await host.client.start("parent", instance_id="p")
            await host.wait_for("the-child", RuntimeStatus.RUNNING)
        (other.app_root / "function_app.py").write_text(APP.replace(*change))
        file = tmp_path / "hub.jsonl"
        await asyncio.to_thread(export_to, place, file, voice)
        if not problem:
            await asyncio.to_thread(import_from, other, file, voice, other.app_root)
            assert voice.told[-1].startswith("Replayed 2 orchestrations")
            return
        with pytest.raises(UserError, match="1 of 2 orchestrations cannot be replayed"):
            await asyncio.to_thread(import_from, other, file, voice, other.app_root)
        assert problem in voice.remarks[-1]
        async with host_of(other) as host:
            assert await host.client.get("p") is not None

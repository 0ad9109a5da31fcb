"""Cases for moving a hub: what a provider gives for a file, and takes from one, is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conformance.harness import PARTITIONS, Host, World
from msgspec.structs import replace
from support.durable_values import NOON, activity, at, raised, scheduled, timer

from func_py.clock import Timer
from func_py.durable.model import (
    EventRaised,
    ExecutionStarted,
    RuntimeStatus,
    TimerCreated,
    entity_id,
)
from func_py.durable.moving import (
    HubFile,
    export_hub,
    import_hub,
    new_host,
    refuse_full,
    refuse_unfinished,
)
from func_py.durable.moving.file import Entry
from func_py.durable.storage.base import PAGE_BYTES
from func_py.errors import ImportUnfinished, UserError

OTHER_PARTITIONS = 5
LARGE = '"' + 100_000 * "x" + '"'
"""Withheld until it is needed (clause 32)."""


def ignore(done: int, total: int) -> None:
    """Nobody looks at the progress."""


class Leaps:
    """A clock on which whoever waits makes it an hour later."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        """See `Clock`."""
        return self._now

    def call_at(self, when: datetime, callback: Callable[[], None]) -> Timer:
        """See `Clock`."""
        self._now = when + timedelta(hours=1)
        return asyncio.get_running_loop().call_soon(callback)


async def export(
    world: World, path: Path, name: str = "TestHub", partitions: int = PARTITIONS
) -> list[Entry]:
    """What is in a file that the hub was exported to."""
    hub = world.harness.hub(name, partitions)
    host = new_host(NOON)
    try:
        info = await hub.open(host)
        file = HubFile(path)
        await export_hub(hub, info, host, file, Leaps(), ignore, lambda _: None)
        file.check()
        return list(file.entries())
    finally:
        await hub.close()


async def export_of_one(world: World, path: Path) -> None:
    """Export a hub with one instance."""
    host = await world.host()
    await host.create("a")
    await host.hub.close()
    await export(world, path)


def joined(entries: Sequence[Entry]) -> dict[str, Entry]:
    """By instance, with the parts of long histories put together."""
    found: dict[str, Entry] = {}
    for entry in entries:
        whole = found.setdefault(entry.instance_id, Entry(entry.instance_id, entry.state))
        whole.events += entry.events
        whole.pending = entry.pending
    return found


async def import_(world: World, path: Path, name: str, partitions: int) -> None:
    """Make a hub from a file."""
    hub = world.harness.hub(name, partitions)
    host = new_host(NOON)
    try:
        await hub.create_hub()
        info = await hub.open(host)
        await refuse_full(hub, info, host)
        await import_hub(hub, info, host, HubFile(path), ignore)
        await refuse_unfinished(hub, info)
    finally:
        await hub.close()


async def filled(world: World) -> Host:
    """A host that has one of everything."""
    host = await world.owner()
    await host.create("new")
    await host.hub.send([raised("new"), raised("new", "stop")])
    running = await host.create("running")
    state = running.state
    page = "x" * (PAGE_BYTES // 128)
    await host.step(
        running,
        consumed=[running.start.id],
        events=[
            ExecutionStarted(timestamp=NOON, name="Greet", execution_id=state.execution_id),
            *(EventRaised(timestamp=NOON, name="page", input=f'"{page}"') for _ in range(140)),
            *scheduled(2, first=1),
            *(TimerCreated(timestamp=NOON, task_id=n, fire_at=at(n * 60)) for n in (3, 4)),
        ],
        activities=[activity(state, 1), replace(activity(state, 2), input=LARGE)],
        timers=[timer(state, n, at(n * 60)) for n in (3, 4)],
    )
    await host.hub.send([raised("running", name, input=LARGE) for name in ("a", "b", "c")])
    done = await host.running("done")
    await host.step(done, events=scheduled(300, 2), status=RuntimeStatus.COMPLETED, output='"é"')
    await host.hub.send([raised(entity_id("counter", "unborn"), "op")])
    return host


class MoveCases:
    """`func_py.durable.moving` on the verbs of the contract."""

    async def test_a_file_of_the_copy_holds_what_the_first_one_does(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if world.harness.loses_turns:
            return
        # A page of history at a time.
        monkeypatch.setattr("func_py.durable.moving.file.PART_BYTES", PAGE_BYTES // 4)
        host = await filled(world)
        await host.hub.close()
        first = await export(world, tmp_path / "one.jsonl.gz")
        await import_(world, tmp_path / "one.jsonl.gz", "Other", OTHER_PARTITIONS)
        second = await export(world, tmp_path / "two.jsonl", "Other", OTHER_PARTITIONS)
        assert len(first) > 4
        assert joined(first) == joined(second)
        assert [*joined(first)] == ["done", "new", "running", "@counter@unborn"]
        pending = joined(first)["running"].pending
        assert pending is not None
        assert [getattr(message.event, "name", "") for message in pending.mail] == ["a", "b", "c"]
        assert {getattr(message.event, "input", None) for message in pending.mail} == {LARGE}
        assert [(call.task_id, call.attempt) for call in pending.activities] == [(1, 1), (2, 1)]
        assert [call.input for call in pending.activities] == ['"x"', LARGE]
        assert [waiting.task_id for waiting in pending.timers] == [3, 4]

    async def test_a_hub_in_use_is_not_exported(self, world: World, tmp_path: Path) -> None:
        await world.host()
        with pytest.raises(UserError):
            await export(world, tmp_path / "one.jsonl")
        assert not (tmp_path / "one.jsonl").exists()

    async def test_nothing_is_imported_into_a_hub_that_holds_something(
        self, world: World, tmp_path: Path
    ) -> None:
        if world.harness.loses_turns:
            return
        await export_of_one(world, tmp_path / "one.jsonl")
        with pytest.raises(UserError, match="not empty"):
            await import_(world, tmp_path / "one.jsonl", "TestHub", 4)

    async def test_an_interrupted_import_leaves_a_hub_that_is_refused(
        self, world: World, tmp_path: Path
    ) -> None:
        if world.harness.loses_turns:
            return
        await export_of_one(world, tmp_path / "one.jsonl")
        hub = world.harness.hub("Other")
        await hub.create_hub()
        info = await hub.open(new := new_host(NOON))

        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await import_hub(hub, info, new, HubFile(tmp_path / "one.jsonl"), interrupt)
        with pytest.raises(ImportUnfinished):
            await refuse_unfinished(hub, info)
        await hub.close()

"""Cases for moving a hub: what a provider gives for a file, and takes from one, is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.harness import Host, World
from msgspec.structs import replace
from support.durable_values import NOON, activity, at, large_events, raised, scheduled, timer

from func_py.clock import RealClock
from func_py.durable.model import RuntimeStatus, entity_id, partition_of
from func_py.durable.moving import (
    HubFile,
    export_hub,
    import_hub,
    new_host,
    refuse_full,
    refuse_unfinished,
)
from func_py.durable.moving.file import Entry
from func_py.durable.storage.base import PAGE_BYTES, Recovered
from func_py.errors import ImportUnfinished, UserError

OTHER_PARTITIONS = 7
LARGE = '"' + 100_000 * "x" + '"'
"""Withheld until it is needed (clause 31)."""


def ignore(done: int, total: int) -> None:
    """Nobody looks at the progress."""


async def export(world: World, path: Path, name: str = "TestHub") -> list[Entry]:
    """What is in a file that the hub was exported to."""
    hub = world.harness.hub(name)
    host = new_host(NOON)
    try:
        info = await hub.open(host)
        file = HubFile(path)
        await export_hub(hub, info, host, file, RealClock(), ignore)
        file.check()
        return list(file.entries())
    finally:
        await hub.close()


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
    running = await host.running("running")
    await host.step(
        running,
        events=large_events(3 * PAGE_BYTES, 100),
        activities=[
            activity(running.state, 1),
            replace(activity(running.state, 2), input=LARGE),
        ],
        timers=[timer(running.state, 3, at(60)), timer(running.state, 4, at(7_000_000))],
    )
    await host.hub.send([raised("running", name, input=LARGE) for name in ("a", "b", "c")])
    done = await host.running("done")
    await host.step(done, events=scheduled(300, 2), status=RuntimeStatus.COMPLETED, output='"é"')
    await host.hub.send([raised(entity_id("counter", "unborn"), "op")])
    return host


class MoveCases:
    """`func_py.durable.moving` on the verbs of the contract."""

    async def test_a_hub_comes_whole_out_of_a_file(self, world: World, tmp_path: Path) -> None:
        if not world.harness.has_transactions:
            return
        host = await filled(world)
        await host.die()
        exported = await export(world, tmp_path / "one.jsonl")
        assert {entry.instance_id for entry in exported} == {
            "new",
            "running",
            "done",
            "@counter@unborn",
        }
        [pending] = [e.pending for e in exported if e.instance_id == "running" and e.pending]
        assert [getattr(m.event, "input", None) for m in pending.mail] == [LARGE] * 3
        assert [a.input for a in pending.activities] == ['"x"', LARGE]
        await import_(world, tmp_path / "one.jsonl", "Other", OTHER_PARTITIONS)
        hub = world.harness.hub("Other", OTHER_PARTITIONS)
        await hub.open(new_host(NOON))
        found: dict[str, Recovered] = {}
        for lease in await hub.acquire(range(OTHER_PARTITIONS)):
            found[str(lease.partition)] = await hub.recover(lease, at(9_000_000))
        await hub.close()
        recovered = found[str(partition_of("running", OTHER_PARTITIONS))]
        assert [(a.task_id, a.attempt) for a in recovered.activities] == [(1, 2), (2, 2)]
        names = [getattr(m.message.event, "name", "") for m in recovered.mail]
        assert [name for name in names if name in "abc"] == ["a", "b", "c"]
        assert [t.task_id for t in recovered.timers] == [3, 4]

    async def test_a_file_of_the_copy_holds_what_the_first_one_does(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not world.harness.has_transactions:
            return
        # A page of history at a time.
        monkeypatch.setattr("func_py.durable.moving.file.PART_BYTES", PAGE_BYTES)
        host = await filled(world)
        await host.hub.close()
        first = await export(world, tmp_path / "one.jsonl.gz")
        await import_(world, tmp_path / "one.jsonl.gz", "Other", 4)
        second = await export(world, tmp_path / "two.jsonl", "Other")
        assert [e.is_last for e in first if e.instance_id == "running"] == [False, False, True]
        assert [e.instance_id for e in second] == [e.instance_id for e in first]
        for before, after in zip(first, second, strict=True):
            assert (after.state, after.events) == (before.state, before.events)
            if before.pending is not None:
                assert after.pending is not None
                assert after.pending.mail == before.pending.mail
                assert after.pending.timers == before.pending.timers

    async def test_a_hub_in_use_is_not_exported(self, world: World, tmp_path: Path) -> None:
        await world.host()
        with pytest.raises(UserError):
            await export(world, tmp_path / "one.jsonl")
        assert not (tmp_path / "one.jsonl").exists()

    async def test_nothing_is_imported_into_a_hub_that_holds_something(
        self, world: World, tmp_path: Path
    ) -> None:
        if not world.harness.has_transactions:
            return
        host = await world.host()
        await host.create("a")
        await host.hub.close()
        await export(world, tmp_path / "one.jsonl")
        with pytest.raises(UserError, match="not empty"):
            await import_(world, tmp_path / "one.jsonl", "TestHub", 4)

    async def test_an_interrupted_import_leaves_a_hub_that_is_refused(
        self, world: World, tmp_path: Path
    ) -> None:
        if not world.harness.has_transactions:
            return
        host = await world.host()
        await host.create("a")
        await host.hub.close()
        await export(world, tmp_path / "one.jsonl")
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

"""The embedded hub shared by real processes, and by processes that are killed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from conformance.harness import Host, World
from support.durable_values import activity, raised, scheduled
from support.hub_process import HubProcess, HubProcessError
from support.sqlite_harness import SqliteHarness

from func_py.durable.storage.base import REUSE_ANY, InstanceQuery

StartProcess = Callable[..., Awaitable[HubProcess]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Hosts in this process."""
    world = World(SqliteHarness(tmp_path))
    yield world
    await world.close()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts hosts in other processes, on the same hub."""
    processes: list[HubProcess] = []

    async def start(*, crash_at: str = "") -> HubProcess:
        process = HubProcess(tmp_path, crash_at=crash_at)
        processes.append(process)
        return await process.start()

    yield start
    for process in processes:
        await process.stop()


async def opened(start: StartProcess, *, crash_at: str = "") -> HubProcess:
    """A process that has the hub open."""
    process = await start(crash_at=crash_at)
    await process.do("create_hub")
    await process.do("open")
    return process


async def test_mail_reaches_an_owner_in_another_process(world: World, start: StartProcess) -> None:
    """Clause 2."""
    owner = await world.owner()
    client = await opened(start)
    start_id = await client.do("create", "a")
    await client.do("send", "a", "second")
    assert await owner.receive_texts(2) == [start_id, "second"]


async def test_mail_of_several_processes_keeps_its_order(world: World, start: StartProcess) -> None:
    """Clause 2."""
    client = await world.host()
    owner = await opened(start)
    assert await owner.do("own") == 4
    new = await client.create("a")
    expected = [new.start.id]
    for number in range(6):
        expected.append(f"m{number}")
        if number % 2:
            await client.hub.send([raised("a", id=expected[-1])])
        else:
            await owner.do("send", "a", expected[-1])
    assert await owner.do("receive", 7) == expected


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[World]:
    """Hosts that look for what others stored once an hour, unless they are told."""
    world = World(SqliteHarness(tmp_path, poll=timedelta(hours=1)))
    yield world
    await world.close()


async def test_the_owner_of_a_message_is_told_by_another_process(
    patient: World, start: StartProcess
) -> None:
    owner = await patient.owner()
    client = await opened(start)
    for number in range(3):
        message_id = await client.do("create", f"a{number}")
        assert await owner.receive_texts(1) == [message_id]


async def test_a_host_that_waits_for_work_is_told_what_is_offered(patient: World) -> None:
    owner, other = await patient.owner(), await patient.host()
    running = await owner.running("a")
    call = activity(running.state, 1)
    await owner.step(running, activities=[call])
    waiting = asyncio.ensure_future(other.hub.claim_activities(["say"], 1))
    # Behind it: it has looked, and found nothing.
    await other.hub.send([])
    await owner.hub.offer_activities([call])
    assert await asyncio.wait_for(waiting, 20) == [call]


async def test_nobody_is_needed_to_hear_the_bell(world: World, start: StartProcess) -> None:
    """The owner is dead, and its pipe has no reader."""
    survivor = await world.host()
    owner = await opened(start)
    await owner.do("own")
    await owner.kill()
    new = await survivor.create("a")
    assert await survivor.pending("a") == [new.start]


async def test_where_there_are_no_pipes_mail_is_found_by_looking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mkfifo", refuse)
    owner, client = await world.owner(), await world.host()
    new = await client.create("a")
    assert await owner.receive_texts(1) == [new.start.id]


async def test_a_killed_process_is_seen_as_dead_at_once(world: World, start: StartProcess) -> None:
    """Clause 21."""
    survivor = await world.host()
    owner = await opened(start)
    await owner.do("own")
    assert list(await survivor.hub.acquire(range(4))) == []
    await owner.kill()
    assert [h.host_id for h in await survivor.hub.hosts()] == [survivor.host_id]
    assert len(await survivor.hub.acquire(range(4))) == 4


async def test_a_stopped_process_keeps_its_partitions(world: World, start: StartProcess) -> None:
    """A pause is not a death: on one machine nobody can take a live host for dead."""
    survivor = await world.host()
    owner = await opened(start)
    await owner.do("own")
    owner.process.send_signal(signal.SIGSTOP)
    assert list(await survivor.hub.acquire(range(4))) == []
    owner.process.send_signal(signal.SIGCONT)


async def test_a_forked_child_does_not_keep_a_dead_host_alive(
    world: World, start: StartProcess
) -> None:
    survivor = await world.host()
    owner = await opened(start)
    await owner.do("own")
    child = await owner.do("fork")
    try:
        await owner.kill()
        assert len(await survivor.hub.acquire(range(4))) == 4
    finally:
        os.kill(child, signal.SIGKILL)


async def test_looking_at_the_others_keeps_us_alive(world: World, start: StartProcess) -> None:
    """A POSIX lock is lost when its process closes any descriptor of the file."""
    first, second = await world.owner(), await world.host()
    for host in (first, second):
        await host.hub.hosts()
        await host.hub.acquire(range(4))
    other = await opened(start)
    assert await other.do("own") == 0


async def test_a_host_taken_for_dead_by_mistake_hands_its_mail_over(
    world: World, start: StartProcess, tmp_path: Path
) -> None:
    """Clause 2: its host file was deleted, another host took over, and it still sends."""
    mistaken = await world.owner()
    os.unlink(tmp_path / "TestHub.hosts" / mistaken.host_id)
    heir = await opened(start)
    assert await heir.do("own") == 4
    new = await mistaken.create("a")
    assert await heir.do("receive", 1) == [new.start.id]


async def test_a_killed_process_s_hold_is_free_at_once(world: World, start: StartProcess) -> None:
    """Clause 23."""
    survivor = await world.host()
    holder = await opened(start)
    assert await holder.do("hold", "timer")
    assert await holder.do("write", "timer", "fired")
    assert await survivor.hub.hold_record("timer") is False
    await holder.kill()
    assert await survivor.hub.hold_record("timer")
    record = await survivor.hub.read_record("timer")
    assert record is not None
    assert record.value == "fired"


async def test_a_host_taken_for_dead_by_mistake_neither_holds_nor_writes(
    world: World, start: StartProcess, tmp_path: Path
) -> None:
    """Clauses 22 and 23."""
    mistaken = await world.host()
    await mistaken.hub.hold_record("timer")
    os.unlink(tmp_path / "TestHub.hosts" / mistaken.host_id)
    heir = await opened(start)
    assert await heir.do("hold", "timer")
    assert await mistaken.hub.hold_record("timer") is False
    assert await mistaken.hub.write_record("timer", "late", 0) is False
    assert await mistaken.hub.hold_record("free") is False


async def test_processes_that_create_the_hub_at_once_agree(
    world: World, start: StartProcess
) -> None:
    """Clause 20."""
    processes = await asyncio.gather(*(start() for _ in range(3)))
    await asyncio.gather(*(process.do("create_hub") for process in processes))
    for process in processes:
        await process.do("open")
    owned = [await process.do("own") for process in processes]
    assert owned == [4, 0, 0]


async def test_processes_that_write_at_once_all_get_their_turn(
    world: World, start: StartProcess
) -> None:
    host = await world.host()
    await host.create("a")
    processes = [await opened(start) for _ in range(2)]
    await asyncio.gather(*(process.do("send_many", "a", 100) for process in processes))
    assert len(await host.pending("a")) == 201


@pytest.mark.faults
async def test_death_before_the_commit_leaves_nothing(world: World, start: StartProcess) -> None:
    """Clause 9. The third write of the process is the start: it created and opened the hub."""
    survivor = await world.host()
    client = await opened(start, crash_at="store.before_commit:3")
    with pytest.raises(EOFError):
        await client.do("create", "a")
    assert await survivor.hub.get_instance("a") is None
    assert await survivor.pending("a") == []


@pytest.mark.faults
async def test_death_after_the_commit_loses_nothing(world: World, start: StartProcess) -> None:
    """Clause 9."""
    survivor = await world.host()
    client = await opened(start, crash_at="store.after_commit:3")
    with pytest.raises(EOFError):
        await client.do("create", "a")
    state = await survivor.hub.get_instance("a")
    assert state is not None
    [message] = await survivor.pending("a")
    assert message.execution_id == state.execution_id


@pytest.mark.faults
@pytest.mark.parametrize(
    ("point", "events"), [("store.before_commit", []), ("store.after_commit", scheduled(1))]
)
async def test_a_turn_interrupted_by_death_is_whole_or_absent(
    world: World, start: StartProcess, point: str, events: list[object]
) -> None:
    """Clauses 4 and 12. Writes: hub, host, acquire, four recoveries, start, turn."""
    survivor = await world.host()
    owner = await opened(start, crash_at=f"{point}:9")
    await owner.do("own")
    await owner.do("create", "a")
    with pytest.raises(EOFError):
        await owner.do("turn", "a")
    assert await survivor.history("a") == events
    found = await survivor.take("a")
    assert [m.message.instance_id for m in found.mail] == ["a"]


@pytest.mark.faults
async def test_death_amid_the_creation_of_the_schema_leaves_a_hub_to_be_created(
    world: World, start: StartProcess
) -> None:
    """Clause 20."""
    process = await start(crash_at="store.schema_half")
    with pytest.raises(EOFError):
        await process.do("create_hub")
    await world.owner()


@pytest.mark.faults
async def test_a_full_disk_is_reported_and_survived(world: World, start: StartProcess) -> None:
    """Clause 18."""
    reader = await world.host()
    client = await opened(start)
    await client.do("create", "a")
    await client.do("limit_files", 200_000)
    with pytest.raises(HubProcessError, match="StorageUnavailable"):
        await client.do("send", "a", "large", 1_000_000)
    await client.do("limit_files", 0)
    await client.do("send", "a", "small")
    assert [m.id for m in (await reader.pending("a"))[1:]] == ["small"]


async def test_a_host_that_was_killed_leaves_no_file_behind(
    world: World, start: StartProcess, tmp_path: Path
) -> None:
    survivor = await world.host()
    other = await opened(start)
    await other.kill()
    await survivor.hub.acquire([0])
    assert sorted(os.listdir(tmp_path / "TestHub.hosts")) == [
        survivor.host_id,
        f"{survivor.host_id}.bell",
    ]


async def replace_often(host: Host, count: int) -> None:
    """Start one id again and again."""
    for _ in range(count):
        await host.create("a", reusable=REUSE_ANY)


async def test_processes_that_replace_one_instance_leave_one(
    world: World, start: StartProcess
) -> None:
    """Clause 1."""
    hosts = [await world.host(), await world.host()]
    await asyncio.gather(*(replace_often(host, 10) for host in hosts))
    page = await hosts[0].hub.query_instances(InstanceQuery())
    assert [state.instance_id for state in page.items] == ["a"]
    [message] = await hosts[0].pending("a")
    assert message.execution_id == page.items[0].execution_id

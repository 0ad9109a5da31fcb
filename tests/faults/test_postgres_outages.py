"""The PostgreSQL server is stopped and started, and connections break, while hosts work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conformance.harness import World
from support.durable_values import raised, scheduled
from support.engine import Host, until
from support.postgres_harness import PostgresHarness
from support.postgres_server import PostgresServer, running_server

from func_py.durable.model import InstanceState, Message, TaskCompleted, TaskScheduled
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.sql.postgres import connection, dialect
from func_py.errors import StorageUnavailable

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that tests stop, and start again."""
    with running_server() as server:
        yield server


@pytest.fixture
def harness(server: PostgresServer, tmp_path: Path) -> PostgresHarness:
    """Hosts that look for what others stored once an hour, unless they are told."""
    return PostgresHarness(server.uri, f"{tmp_path.name}.", poll=HOUR)


@pytest.fixture
async def world(harness: PostgresHarness) -> AsyncIterator[World]:
    """The hosts of a test."""
    world = World(harness)
    yield world
    await world.close()


def restart(server: PostgresServer) -> None:
    """End every connection; the server is back when this returns."""
    server.stop()
    server.start()


async def sent(hub: TaskHub, message: Message) -> None:
    """Send until the store answers."""

    async def send() -> bool:
        try:
            await hub.send([message])
        except StorageUnavailable:
            return False
        return True

    await until(send, "the hub to answer")


async def ended(host: Host, instance_id: str) -> InstanceState:
    """The instance at its end, asked for until the store answers."""

    async def read() -> InstanceState | None:
        try:
            state = await host.client.get(instance_id)
        except StorageUnavailable:
            return None
        return state if state is not None and state.status.is_terminal else None

    return await until(read, f"{instance_id} to end")


def pair(context: Any) -> Any:
    """Two activities, one after the other."""
    first = yield context.call_activity("count", 1)
    return [first, (yield context.call_activity("count", 2))]


async def test_work_goes_on_after_a_restart_and_the_log_says_so_once(
    server: PostgresServer, harness: PostgresHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def said(text: str) -> list[str]:
        return [r.getMessage() for r in caplog.records if text in r.getMessage()]

    async def outage_was_noticed() -> bool:
        return bool(said("does not answer"))

    stopped = asyncio.Event()

    async def count(n: int) -> int:
        await stopped.wait()  # so that there are results to be stored when nobody can
        return n

    async with Host(harness.hub(), {"pair": pair}, {"count": count}) as host:
        ids = [await host.client.start("pair") for _ in range(20)]
        await asyncio.to_thread(server.stop)
        stopped.set()
        try:
            await until(outage_was_noticed, "the outage to be noticed")
        finally:
            await asyncio.to_thread(server.start)
        states = [await ended(host, instance_id) for instance_id in ids]
        histories = [list(await host.client.history(instance_id)) for instance_id in ids]

    assert [state.output for state in states] == ["[1, 2]"] * 20
    for history in histories:
        for kind in (TaskScheduled, TaskCompleted):
            assert [event.task_id for event in history if isinstance(event, kind)] == [0, 1]
    assert len(said("does not answer")) == 1
    assert len(said("answers again")) == 1
    assert said("is dropped") == []


async def test_two_hosts_at_work_go_on_after_a_restart_amid_their_commits(
    server: PostgresServer, harness: PostgresHarness
) -> None:
    counted: list[int] = []
    is_half_done = asyncio.Event()

    def count(n: int) -> int:
        counted.append(n)
        if len(counted) == 40:
            is_half_done.set()
        return n

    async with (
        Host(harness.hub(), {"pair": pair}, {"count": count}) as first,
        Host(harness.hub(), {"pair": pair}, {"count": count}) as second,
    ):
        ids = [await first.client.start("pair") for _ in range(40)]
        await is_half_done.wait()
        await asyncio.to_thread(restart, server)
        states = [await ended(second, instance_id) for instance_id in ids]
        histories = [list(await first.client.history(instance_id)) for instance_id in ids]

    assert [state.output for state in states] == ["[1, 2]"] * 40
    assert len(counted) == 80
    for history in histories:
        for kind in (TaskScheduled, TaskCompleted):
            assert [event.task_id for event in history if isinstance(event, kind)] == [0, 1]


async def test_hosts_keep_their_partitions_over_a_restart_and_hear_each_other(
    world: World, server: PostgresServer
) -> None:
    owner, client = await world.owner(), await world.host()
    instance = await owner.running("a")
    restart(server)
    message = raised("a")
    await sent(client.hub, message)
    assert [m.message for m in await owner.receive(2)][1:] == [message]
    await owner.step(instance, consumed=[message.id])


async def test_what_was_sent_during_an_outage_is_not_stored(
    world: World, server: PostgresServer
) -> None:
    host = await world.host()
    await host.create("a")
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await host.hub.send([raised("a")])
        with pytest.raises(StorageUnavailable):
            await host.hub.get_instance("a")
    finally:
        server.start()
    await sent(host.hub, raised("a", id="later"))
    assert [m.id for m in (await host.pending("a"))[1:]] == ["later"]


async def test_neither_reads_nor_writes_notice_a_restart_while_they_were_idle(
    world: World, server: PostgresServer
) -> None:
    host = await world.host()
    new = await host.create("a")
    await asyncio.gather(*(host.hub.get_instance("a") for _ in range(8)))
    restart(server)
    await host.hub.send([raised("a")])
    for _ in range(8):
        assert await host.hub.get_instance("a") == new.state


async def test_a_restart_before_the_commit_undoes_the_turn(
    world: World, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clauses 4 and 18."""
    owner = await world.owner()
    instance = await owner.running("a")
    turn = owner.turn(instance, events=scheduled(1, first=2), messages=[raised("a", id="m")])
    once(monkeypatch, "store.before_commit", lambda: restart(server))
    with pytest.raises(StorageUnavailable):
        await owner.hub.commit([turn])
    assert await owner.history("a") == scheduled(2)
    await owner.commit(turn)
    assert [m.id for m in await owner.pending("a")] == ["m"]


def once(monkeypatch: pytest.MonkeyPatch, point: str, act: Callable[[], None]) -> None:
    """Act when a commit reaches that point, the first time."""
    left = [point]

    def reach(reached: str) -> None:
        if reached in left:
            left.remove(reached)
            act()

    for module in (dialect, connection):
        monkeypatch.setattr(module, "reach", reach)


class Deaf(psycopg.Connection[tuple[Any, ...]]):
    """Does not hear the answer to a commit, when `loses` says so."""

    loses = False
    is_piping = False
    committed = False

    def execute(self, query: Any, *parameters: Any, **options: Any) -> Any:
        """See `psycopg.Connection.execute`."""
        answer = super().execute(query, *parameters, **options)
        self.committed |= query == "commit"
        if not self.is_piping:
            self._lose()
        return answer

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """See `psycopg.Connection.pipeline`; at its end everything was executed."""
        self.is_piping = True
        with super().pipeline() as pipeline:
            yield pipeline
        self.is_piping = False
        self._lose()

    def _lose(self) -> None:
        if self.committed and Deaf.loses:
            Deaf.loses = False
            self.close()
            raise psycopg.OperationalError("the connection is lost")
        self.committed = False


async def test_a_commit_whose_answer_was_lost_counts_once_it_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is repeated, and what it delivers is delivered, once."""
    monkeypatch.setattr(psycopg, "connect", Deaf.connect)
    owner = await world.owner()
    instance = await owner.running("a")
    await owner.receive_texts(1)
    turn = owner.turn(instance, events=scheduled(1, first=2), messages=[raised("a", id="m")])
    monkeypatch.setattr(Deaf, "loses", True)
    token = await owner.commit(turn)
    assert token == await owner.token("a")
    assert await owner.history("a") == scheduled(3)
    assert await owner.receive_texts(1) == ["m"]


async def test_mail_of_others_in_a_commit_whose_answer_was_lost_is_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was noted as delivered in that transaction: nobody would look for it again."""
    monkeypatch.setattr(psycopg, "connect", Deaf.connect)
    owner, client = await world.owner(), await world.host()
    new = await client.create("a")
    assert await owner.receive_texts(1) == [new.start.id]
    monkeypatch.setattr(dialect.PostgresDialect, "ring", lambda *_: None)
    await client.hub.send([raised("a", id="m")])
    monkeypatch.setattr(Deaf, "loses", True)
    assert await owner.hub.hold_record("key")
    assert await owner.receive_texts(1) == ["m"]


async def test_closing_does_not_wait_for_a_server_that_is_gone(
    world: World, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a commit whose fate is unknown is told that nobody answered."""
    owner = await world.owner()
    await owner.create("a")
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        server.stop()
        loop.call_soon_threadsafe(stopped.set)

    once(monkeypatch, "store.before_commit", stop)
    try:
        sending = asyncio.ensure_future(owner.hub.send([raised("a")]))
        await stopped.wait()
        await owner.hub.close()
        with pytest.raises(StorageUnavailable):
            await sending
    finally:
        server.start()

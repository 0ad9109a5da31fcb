"""Hosts come and go on one task hub while it is at work: engines in one process, on each store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from support.azure_harness import AzureHarness
from support.engine import Host, until
from support.hubs import HubFactory, sqlite_hub
from support.postgres_harness import PostgresHarness

from func_py.clock import VirtualClock
from func_py.durable.engine import EngineOptions
from func_py.durable.model import RuntimeStatus, TaskCompleted, TimerFired
from func_py.errors import InstanceAlreadyExists

pytestmark = pytest.mark.faults

Orchestration = Generator[Any, Any, Any]

DATABASES = ["sqlite", "postgres"]
ALL = [0, 1, 2, 3]


def patient(context: Any) -> Orchestration:
    return (yield context.wait_for_external_event("Go"))


def nap(context: Any) -> Orchestration:
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    return "rested"


def fan(context: Any) -> Orchestration:
    count = context.get_input()
    return (yield context.task_all([context.call_activity("work", n) for n in range(count)]))


def talker(context: Any) -> Orchestration:
    """Signals an entity, in many turns."""
    me, count = context.instance_id, context.get_input()
    for number in range(0, count, 2):
        context.signal_entity(df.EntityId("book", "one"), "enter", [me, number])
        context.signal_entity(df.EntityId("book", "one"), "enter", [me, number + 1])
        yield context.call_activity("work", number)
    return (yield context.call_entity(df.EntityId("book", "one"), "read"))


def book(context: Any) -> None:
    """Keeps what is entered, in order."""
    entries = context.get_state(list)
    if context.operation_name == "enter":
        context.set_state([*entries, context.get_input()])
    context.set_result(entries)


ORCHESTRATORS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function for function in (patient, nap, fan, talker)
}


class Work:
    """An activity that ends when `may_end` allows it; counts over all hosts."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.running = 0
        self.most = 0

    async def __call__(self, number: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_end.wait()
        self.running -= 1
        return number


class Cluster:
    """Hosts on one task hub."""

    def __init__(self, factory: HubFactory, work: Work) -> None:
        self._factory = factory
        self._work = work
        self._stacks: list[AsyncExitStack] = []
        self.hosts: list[Host] = []

    async def join(self, **more: Any) -> Host:
        """One more host."""
        host = Host(
            self._factory(), ORCHESTRATORS, {"work": self._work}, entities={"book": book}, **more
        )
        stack = AsyncExitStack()
        await stack.enter_async_context(host)
        self._stacks.append(stack)
        self.hosts.append(host)
        return host

    async def leave(self, host: Host) -> None:
        """One host ends in peace."""
        number = self.hosts.index(host)
        del self.hosts[number]
        await self._stacks.pop(number).aclose()

    async def shares(self, *sizes: int) -> None:
        """Wait until each host has so many partitions, and each partition one host."""

        async def reached() -> bool:
            owned = [host.engine.partitions for host in self.hosts]
            numbers = sorted(number for partitions in owned for number in partitions)
            return [*map(len, owned)] == [*sizes] and numbers == ALL

        await until(reached, f"the hosts to have {sizes} partitions")

    async def close(self) -> None:
        """All hosts end."""
        self._work.may_end.set()
        while self.hosts:
            await self.leave(self.hosts[-1])


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture(params=DATABASES)
async def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, work: Work
) -> AsyncIterator[Cluster]:
    if request.param == "sqlite":
        cluster = Cluster(lambda: sqlite_hub(tmp_path), work)
    elif request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        cluster = Cluster(PostgresHarness(server.uri, f"{tmp_path.name}.").hub, work)
    else:
        place = "".join(filter(str.isalnum, tmp_path.name))[-30:]
        harness = AzureHarness(request.getfixturevalue("azurite"), f"h{place}")
        cluster = Cluster(harness.hub, work)
    yield cluster
    await cluster.close()


def attempts(cluster: Cluster) -> list[int]:
    """Of every call that any host has begun."""
    return [call.attempt for host in cluster.hosts for call in host.activities.calls]


@pytest.mark.parametrize("cluster", [*DATABASES, "azurite"], indirect=True)
async def test_partitions_follow_the_hosts_and_instances_go_on_wherever_they_are(
    cluster: Cluster,
) -> None:
    first = await cluster.join()
    ids = [await first.client.start("patient") for _ in range(12)]
    for instance_id in ids:
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)

    second = await cluster.join()
    await cluster.shares(2, 2)
    third = await cluster.join()
    await cluster.shares(2, 1, 1)
    # Any host serves any instance.
    for number, instance_id in enumerate(ids[:6]):
        await cluster.hosts[number % 3].client.raise_event(instance_id, "Go", str(number))
        assert (await third.wait_for(instance_id)).output == str(number)
    await cluster.leave(first)
    await cluster.shares(2, 2)
    await cluster.leave(third)
    await cluster.shares(4)
    for instance_id in ids[6:]:
        await second.client.raise_event(instance_id, "Go", "7")
        assert (await second.wait_for(instance_id)).output == "7"


async def test_what_runs_is_finished_where_it_runs_while_its_partition_moves_twice(
    cluster: Cluster, work: Work
) -> None:
    first = await cluster.join(options=EngineOptions(max_activities=100))
    ids = [await first.client.start("fan", input="4") for _ in range(12)]

    async def all_run() -> bool:
        return work.running == 48

    await until(all_run, "all calls to run")
    second = await cluster.join()
    await cluster.shares(2, 2)
    await cluster.join()
    await cluster.shares(2, 1, 1)
    work.may_end.set()
    states = [await second.wait_for(instance_id) for instance_id in ids]

    assert [state.output for state in states] == ["[0, 1, 2, 3]"] * 12
    assert attempts(cluster) == [1] * 48
    for instance_id in ids:
        history = await second.client.history(instance_id)
        assert len([e for e in history if isinstance(e, TaskCompleted)]) == 4


async def test_hosts_share_the_activities_of_one_orchestration(
    cluster: Cluster, work: Work
) -> None:
    few = EngineOptions(max_activities=3)
    first = await cluster.join(options=few)
    await cluster.join(options=few)
    await cluster.shares(2, 2)
    instance_id = await first.client.start("fan", input="20")

    async def all_are_busy() -> bool:
        return work.running == 6

    await until(all_are_busy, "the other host to help")
    work.may_end.set()
    state = await first.wait_for(instance_id)

    assert state.output == str([*range(20)])
    assert work.most == 6
    assert attempts(cluster) == [1] * 20


async def test_signals_of_one_sender_keep_their_order_while_partitions_move(
    cluster: Cluster, work: Work
) -> None:
    work.may_end.set()
    first = await cluster.join()
    ids = [await first.client.start("talker", input="40") for _ in range(6)]
    second = await cluster.join()
    await cluster.shares(2, 2)
    await cluster.join()
    await cluster.leave(first)
    await cluster.shares(2, 2)
    for instance_id in ids:
        state = await second.wait_for(instance_id)
        assert state.status is RuntimeStatus.COMPLETED

    entity = await second.client.read_entity("book", "one")
    assert entity is not None
    entries = json.loads(entity.state or "")
    for instance_id in ids:
        assert [n for sender, n in entries if sender == instance_id] == [*range(40)]


async def test_timers_fire_once_whoever_has_the_partition(cluster: Cluster) -> None:
    clock = VirtualClock()
    first = await cluster.join(clock=clock)
    ids = [await first.client.start("nap") for _ in range(12)]
    for instance_id in ids:
        await first.wait_for(instance_id, RuntimeStatus.RUNNING)
    second = await cluster.join(clock=clock)
    await cluster.shares(2, 2)
    clock.advance(timedelta(minutes=1))
    for instance_id in ids:
        assert (await second.wait_for(instance_id)).output == '"rested"'
        history = await second.client.history(instance_id)
        assert len([e for e in history if isinstance(e, TimerFired)]) == 1


async def test_of_two_hosts_that_start_one_id_at_once_one_does(cluster: Cluster) -> None:
    first, second = await cluster.join(), await cluster.join()
    for number in range(8):
        instance_id = f"only {number}"
        started = await asyncio.gather(
            first.client.start("patient", instance_id=instance_id),
            second.client.start("patient", instance_id=instance_id),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in started].count(InstanceAlreadyExists) == 1
        await second.client.raise_event(instance_id, "Go", "1")
        assert (await first.wait_for(instance_id)).output == "1"


async def test_an_instance_whose_function_went_with_another_host_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Host(sqlite_hub(tmp_path), {"here": fan}, {}) as here:
        async with Host(sqlite_hub(tmp_path), {"there": fan}, {}) as there:
            ids = [await there.client.start("there", input="0") for _ in range(8)]

            async def one_waits() -> bool:
                return "waits for another host" in caplog.text

            await until(one_waits, "an instance that only the other host can run")
        states = [await here.wait_for(instance_id) for instance_id in ids]

    # Some may have been begun there, and then they have ended there.
    assert RuntimeStatus.FAILED in {state.status for state in states}
    assert "(only there: orchestrator:there; only here: orchestrator:here)" in caplog.text
    assert caplog.text.count("has other functions") == 2

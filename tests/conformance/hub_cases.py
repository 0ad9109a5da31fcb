"""Cases for the life of a hub and its hosts: clauses 18, 20, 21 and 28 to 30."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from conformance.harness import PARTITIONS, Host, World
from support.durable_values import NOON, activity, raised

from func_py.durable.model import new_id
from func_py.durable.storage.base import Capability, HostRecord, InstanceQuery
from func_py.errors import ConfigError, StorageUnavailable, TaskHubNotFound, UserError


def record() -> HostRecord:
    """A fresh host."""
    return HostRecord(host_id=new_id(), started_at=NOON)


class HubCases:
    """Clause 20."""

    async def test_creating_again_keeps_what_is_there(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        await host.hub.create_hub()
        await world.harness.hub().create_hub()
        assert await host.hub.get_instance("a") == new.state

    async def test_several_hosts_may_create_at_once(self, world: World) -> None:
        hubs = [world.harness.hub() for _ in range(5)]
        await asyncio.gather(*(hub.create_hub() for hub in hubs))
        host = await world.host()
        assert len(await host.hub.acquire(range(PARTITIONS))) == PARTITIONS

    async def test_a_hub_that_was_not_created_cannot_be_opened(self, world: World) -> None:
        with pytest.raises(TaskHubNotFound):
            await world.harness.hub().open(record())

    async def test_another_partition_count_is_refused(self, world: World) -> None:
        await world.host()
        hub = world.harness.hub(partition_count=7)
        await hub.create_hub()
        with pytest.raises(ConfigError) as caught:
            await hub.open(record())
        await hub.close()
        assert "partitionCount" in caught.value.path
        assert "7" in caught.value.problem
        assert str(PARTITIONS) in caught.value.problem

    async def test_a_refused_host_is_not_known_to_the_others(self, world: World) -> None:
        host = await world.host()
        hub = world.harness.hub(partition_count=7)
        with pytest.raises(ConfigError):
            await hub.open(record())
        await hub.close()
        assert [h.host_id for h in await host.hub.hosts()] == [host.host_id]

    async def test_hubs_of_different_names_do_not_see_each_other(self, world: World) -> None:
        one = await world.host("One", owns=range(PARTITIONS))
        two = await world.host("Two", owns=range(PARTITIONS))
        new = await one.create("a")
        assert await two.hub.get_instance("a") is None
        assert (await two.hub.query_instances(InstanceQuery())).items == []
        assert [h.host_id for h in await two.hub.hosts()] == [two.host_id]
        other = await two.create("a")
        assert await one.receive_texts(1) == [new.start.id]
        assert await two.receive_texts(1) == [other.start.id]

    async def test_open_says_what_the_hub_is(self, world: World) -> None:
        hub = world.harness.hub()
        await hub.create_hub()
        info = await hub.open(record())
        await hub.close()
        assert (info.name, info.partition_count) == ("TestHub", PARTITIONS)
        assert info.location
        has_transactions = Capability.TRANSACTIONS in info.capabilities
        assert has_transactions is world.harness.has_transactions

    async def test_a_deleted_hub_is_gone(self, world: World) -> None:
        host = await world.host()
        await host.create("a")
        await host.hub.close()
        await world.harness.hub().delete_hub()
        again = await world.host()
        assert await again.hub.get_instance("a") is None

    async def test_a_hub_that_was_never_there_can_be_deleted(self, world: World) -> None:
        await world.harness.hub().delete_hub()

    async def test_a_hub_in_use_is_not_deleted(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        with pytest.raises(UserError):
            await world.harness.hub().delete_hub()
        assert await host.hub.get_instance("a") == new.state

    async def test_closing_twice_is_allowed(self, world: World) -> None:
        host = await world.host()
        await host.hub.close()
        await host.hub.close()

    async def test_a_hub_that_was_never_opened_can_be_closed(self, world: World) -> None:
        await world.harness.hub().close()

    async def test_a_closed_hub_answers_that_it_is_unavailable(self, world: World) -> None:
        """Clause 18."""
        host = await world.owner()
        await host.hub.close()
        for call in (
            host.hub.send([raised("a")]),
            host.hub.get_instance("a"),
            host.hub.acquire([0]),
            host.hub.receive(),
        ):
            with pytest.raises(StorageUnavailable):
                await call

    async def test_closing_ends_a_wait_for_mail(self, world: World) -> None:
        if world.harness.loses_turns:
            return
        host = await world.owner()
        waiting = asyncio.ensure_future(host.hub.receive())
        await asyncio.sleep(0)
        await host.hub.close()
        with pytest.raises(StorageUnavailable):
            await waiting

    async def test_writes_under_way_are_finished_when_the_hub_closes(self, world: World) -> None:
        host = await world.host()
        creating = asyncio.ensure_future(host.create("a"))
        await asyncio.sleep(0)
        await host.hub.close()
        await asyncio.gather(creating, return_exceptions=True)
        later = await world.host()
        assert await later.hub.get_instance("a") is not None


class HostCases:
    """Clause 21."""

    async def test_live_hosts_are_listed_with_their_functions(self, world: World) -> None:
        first = await world.host(functions=["activity:say", "orchestrator:greet"])
        second = await world.host()
        for host in (first, second):
            found = {h.host_id: h for h in await host.hub.hosts()}
            assert set(found) == {first.host_id, second.host_id}
            assert found[first.host_id].started_at == NOON
            assert list(found[first.host_id].functions) == ["activity:say", "orchestrator:greet"]

    async def test_a_closed_host_is_forgotten(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.close()
        assert [h.host_id for h in await second.hub.hosts()] == [second.host_id]

    async def test_a_dead_host_is_not_listed(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        await first.die()
        assert [h.host_id for h in await second.hub.hosts()] == [second.host_id]

    async def test_a_dead_host_leaves_the_others_alone(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        third = await world.host()
        await third.die()
        await second.hub.acquire(range(PARTITIONS))
        listed = {h.host_id for h in await first.hub.hosts()}
        assert listed == {first.host_id, second.host_id}
        assert list(await second.hub.acquire(range(PARTITIONS))) == []

    async def test_what_a_host_publishes_replaces_what_it_said_before(self, world: World) -> None:
        first, second = await world.host(functions=["activity:say"]), await world.host()
        await first.hub.publish([])
        await second.hub.publish(["activity:sing"])
        for host in (first, second):
            found = {h.host_id: list(h.functions) for h in await host.hub.hosts()}
            assert found == {first.host_id: [], second.host_id: ["activity:sing"]}


class WatchCases:
    """Clause 28."""

    async def test_the_first_call_tells_who_is_there(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        assert await watched(second, []) == {first.host_id, second.host_id}

    async def test_a_host_that_enters_is_noticed(self, world: World) -> None:
        first = await world.host()
        watching = await settled(first)
        second = await world.host()
        there = {first.host_id, second.host_id}
        await noticed(first, watching, lambda hosts: ids(hosts) == there)

    async def test_a_host_that_leaves_is_noticed(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        watching = await settled(first)
        await second.hub.close()
        await noticed(first, watching, lambda hosts: ids(hosts) == {first.host_id})

    async def test_a_host_that_dies_is_noticed(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        watching = await settled(first)
        await second.die()
        await noticed(first, watching, lambda hosts: ids(hosts) == {first.host_id})

    async def test_what_a_host_publishes_is_noticed(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        watching = await settled(first)
        await second.hub.publish(["activity:say"])
        told = {first.host_id: [], second.host_id: ["activity:say"]}
        await noticed(
            first, watching, lambda hosts: {h.host_id: list(h.functions) for h in hosts} == told
        )

    async def test_a_partition_that_is_released_is_noticed(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        watching = await settled(other)
        await owner.hub.release([owner.leases[1]])
        await in_time(watching)
        assert [lease.partition for lease in await other.hub.acquire(range(PARTITIONS))] == [1]

    async def test_what_happened_between_two_calls_is_not_missed(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        watching = await settled(other)
        watching.cancel()
        known = await other.hub.hosts()
        await owner.hub.release([owner.leases[1]])
        await in_time(asyncio.ensure_future(other.hub.watch_hosts(known)))

    async def test_closing_ends_the_watch(self, world: World) -> None:
        host = await world.host()
        watching = await settled(host)
        await host.hub.close()
        with pytest.raises(StorageUnavailable):
            await in_time(watching)


class RenewCases:
    """Clause 29."""

    async def test_renewing_tells_what_is_ours(self, world: World) -> None:
        host = await world.host(owns=[0, 2])
        assert not host.hub.is_overdue
        leases = sorted(await host.hub.renew(), key=lambda lease: lease.partition)
        assert leases == [host.leases[0], host.leases[2]]
        await host.release()
        assert list(await host.hub.renew()) == []


class WhereaboutsCases:
    """Clause 30."""

    async def test_the_owner_of_an_instance_is_known_with_its_time(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        await owner.create("a")
        found = await other.hub.whereabouts("a")
        assert found.owner == owner.host_id
        assert found.owner_until is None or found.owner_until > datetime.now(UTC)

    async def test_a_partition_that_was_given_back_has_no_owner(self, world: World) -> None:
        owner = await world.owner()
        await owner.create("a")
        await owner.release()
        assert (await owner.hub.whereabouts("a")).owner == ""

    async def test_who_holds_an_activity_is_known(self, world: World) -> None:
        owner = await world.owner()
        running = await owner.running("a")
        calls = [activity(running.state, number) for number in range(2)]
        await owner.step(running, activities=calls)
        await owner.hub.offer_activities(calls[1:])
        found = (await owner.hub.whereabouts("a")).activities
        is_unknown = not found and not world.harness.has_transactions
        assert is_unknown or found == {0: owner.host_id, 1: ""}

    async def test_what_does_not_exist_has_no_activities(self, world: World) -> None:
        assert (await (await world.owner()).hub.whereabouts("a")).activities == {}


def ids(hosts: Sequence[HostRecord]) -> set[str]:
    """Who is there."""
    return {host.host_id for host in hosts}


async def watched(host: Host, known: Sequence[HostRecord]) -> set[str]:
    """Who is there when something has changed."""
    return ids(await in_time(asyncio.ensure_future(host.hub.watch_hosts(known))))


async def settled(host: Host) -> asyncio.Future[Sequence[HostRecord]]:
    """A watch that has seen everything so far, and waits."""
    known = await in_time(asyncio.ensure_future(host.hub.watch_hosts([])))
    while True:
        watching = asyncio.ensure_future(host.hub.watch_hosts(known))
        # Behind two writes: what others did is seen, and told.
        for _ in range(2):
            await host.hub.send([])
            await host.hub.hosts()
        if not watching.done():
            return watching
        known = watching.result()


async def noticed(
    host: Host,
    watching: asyncio.Future[Sequence[HostRecord]],
    is_so: Callable[[Sequence[HostRecord]], bool],
) -> None:
    """Watch until it is so; a watch may return for no reason."""
    while not is_so(hosts := await in_time(watching)):
        watching = asyncio.ensure_future(host.hub.watch_hosts(hosts))


async def in_time(watching: asyncio.Future[Sequence[HostRecord]]) -> Sequence[HostRecord]:
    """What a watch gives; it does not wait for ever."""
    async with asyncio.timeout(20):
        return await watching

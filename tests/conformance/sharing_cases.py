"""Cases for activities that other hosts run: clauses 24 to 27."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from conformance.harness import Host, Instance, World, ids_in_different_partitions
from msgspec.structs import replace
from support.durable_values import activity, raised, task_key

from func_py.durable.model import ActivityTask, RuntimeStatus
from func_py.durable.storage.base import REUSE_ANY, LostReason
from func_py.errors import LeaseLost, StorageError, StorageUnavailable

NAMES = ["say"]
"""Of the activities that tests schedule."""


async def scheduled_calls(
    host: Host, count: int, instance_id: str = "a"
) -> tuple[Instance, list[ActivityTask]]:
    """A running instance with activities that the host holds; the mail so far is received."""
    running = await host.running(instance_id)
    calls = [activity(running.state, number) for number in range(count)]
    after = await host.step(running, activities=calls)
    await host.receive(1)
    return after, calls


async def claimed_calls(owner: Host, other: Host, count: int = 1) -> list[ActivityTask]:
    """Activities of instance `a` in the owner's partition that another host has claimed."""
    _, calls = await scheduled_calls(owner, count)
    await owner.hub.offer_activities(calls)
    return list(await claim(other, count))


async def claim(host: Host, limit: int, names: Sequence[str] = NAMES) -> Sequence[ActivityTask]:
    """Claim, and do not wait for ever."""
    async with asyncio.timeout(20):
        return await host.hub.claim_activities(names, limit)


class OfferCases:
    """Clause 24."""

    async def test_what_one_host_offers_another_one_gets(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 2)
        await owner.hub.offer_activities(calls)
        assert sorted(await claim(other, 10), key=lambda a: a.task_id) == calls

    async def test_what_is_not_offered_stays_where_it_is(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 3)
        await owner.hub.offer_activities(calls[1:2])
        assert await claim(other, 10) == calls[1:2]

    async def test_a_waiting_host_is_woken(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 1)
        waiting = asyncio.ensure_future(claim(other, 10))
        await asyncio.sleep(0)
        await owner.hub.offer_activities(calls)
        assert await waiting == calls

    async def test_no_more_than_asked_for_is_claimed(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 5)
        await owner.hub.offer_activities(calls)
        first = await claim(other, 2)
        assert len(first) == 2
        rest = await claim(other, 10)
        assert sorted(a.task_id for a in [*first, *rest]) == [0, 1, 2, 3, 4]

    async def test_hosts_claim_only_names_that_they_have(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        running = await owner.running("a")
        calls = [replace(activity(running.state, n), name=f"Call{n}") for n in range(3)]
        await owner.step(running, activities=calls)
        await owner.hub.offer_activities(calls)
        assert await claim(other, 10, ["call2", "call9"]) == [calls[2]]

    async def test_each_activity_is_claimed_by_one_host(self, world: World) -> None:
        owner = await world.owner()
        others = [await world.host() for _ in range(3)]
        _, calls = await scheduled_calls(owner, 3)
        await owner.hub.offer_activities(calls)
        claimed = await asyncio.gather(*(claim(other, 1) for other in others))
        assert sorted(a.task_id for tasks in claimed for a in tasks) == [0, 1, 2]

    async def test_a_host_may_get_back_what_it_offered(self, world: World) -> None:
        owner = await world.owner()
        _, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        assert await claim(owner, 1) == calls

    async def test_what_another_host_holds_cannot_be_offered(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        claimed = await claimed_calls(owner, other)
        await owner.hub.offer_activities(claimed)
        assert await other.hub.complete_activity(task_key(claimed[0]), raised("a"))

    async def test_a_claimer_may_offer_again(self, world: World) -> None:
        owner, other, third = await world.owner(), await world.host(), await world.host()
        claimed = await claimed_calls(owner, other)
        await other.hub.offer_activities(claimed)
        assert await claim(third, 1) == claimed

    async def test_offered_activities_of_a_purged_instance_are_gone(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        instance, calls = await scheduled_calls(owner, 1)
        await owner.step(instance, status=RuntimeStatus.COMPLETED)
        await owner.hub.offer_activities(calls)
        await owner.hub.purge("a")
        _, alive = await scheduled_calls(owner, 1, "b")
        await owner.hub.offer_activities(alive)
        assert await claim(other, 10) == alive

    async def test_offered_activities_of_a_dead_owner_come_to_the_next_one(
        self, world: World
    ) -> None:
        """Clause 12."""
        owner, heir, third = await world.owner(), await world.host(), await world.host()
        _, calls = await scheduled_calls(owner, 2)
        await owner.hub.offer_activities(calls)
        await owner.die()
        found = (await heir.take("a")).activities
        assert [task_key(a) for a in found] == [task_key(a) for a in calls]
        await heir.hub.offer_activities(found[1:])
        assert await claim(third, 10) == found[1:]

    async def test_cancelled_claiming_leaves_nothing_claimed(self, world: World) -> None:
        """Clause 19."""
        owner, other, third = await world.owner(), await world.host(), await world.host()
        _, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        claiming = asyncio.ensure_future(claim(other, 1))
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        # A later write is behind it, so what it did is decided now.
        await other.hub.send([])
        assert await claim(third, 1) == calls

    async def test_closing_ends_a_wait_for_offers(self, world: World) -> None:
        host = await world.host()
        waiting = asyncio.ensure_future(claim(host, 1))
        await asyncio.sleep(0)
        await host.hub.close()
        with pytest.raises(StorageUnavailable):
            await waiting

    async def test_a_closed_host_s_claims_come_back_to_the_owner(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        claimed = await claimed_calls(owner, other)
        await other.hub.close()
        assert await owner.hub.take_back_activities(owner.lease_of("a")) == claimed


class CompleteCases:
    """Clause 25."""

    async def test_a_result_reaches_the_owner_and_the_activity_is_done(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        result = raised("a")
        assert await other.hub.complete_activity(task_key(call), result)
        assert [m.message for m in await owner.receive(1)] == [result]
        await owner.release()
        assert list((await owner.take("a")).activities) == []

    async def test_a_result_is_stored_once(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        result = raised("a")
        assert await other.hub.complete_activity(task_key(call), result)
        assert await other.hub.complete_activity(task_key(call), raised("a")) is False
        assert await owner.pending("a") == [result]

    async def test_only_the_holder_completes(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        assert await owner.hub.complete_activity(task_key(call), raised("a")) is False
        assert await owner.pending("a") == []

    async def test_an_offered_activity_cannot_be_completed(self, world: World) -> None:
        owner = await world.owner()
        _, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        assert await owner.hub.complete_activity(task_key(calls[0]), raised("a")) is False

    async def test_a_former_owner_completes_what_it_still_holds(self, world: World) -> None:
        """Clause 24: the partition has moved, the claim has not."""
        first, second, other = await world.owner(), await world.host(), await world.host()
        [call] = await claimed_calls(first, other)
        await first.release()
        assert list((await second.take("a")).activities) == []
        result = raised("a")
        assert await other.hub.complete_activity(task_key(call), result)
        assert [m.message for m in await second.receive(1)] == [result]

    async def test_results_of_many_calls_at_once_stand_or_fall_alone(self, world: World) -> None:
        if world.harness.uses_queues:
            return  # nobody can delete what another host has taken; the owner drops the result
        owner, other = await world.owner(), await world.host()
        claimed = await claimed_calls(owner, other, 20)
        lost = task_key(claimed[7])
        await owner.hub.discard(owner.lease_of("a"), [], [lost])
        answers = await asyncio.gather(
            *(
                other.hub.complete_activity(task_key(a), raised("a", id=f"r{a.task_id}"))
                for a in claimed
            )
        )
        done = {a.task_id for a, answer in zip(claimed, answers, strict=True) if answer}
        assert done == set(range(20)) - {lost.task_id}
        assert {m.id for m in await owner.pending("a")} == {f"r{number}" for number in done}

    async def test_a_dropped_activity_has_no_result(self, world: World) -> None:
        if world.harness.uses_queues:
            return  # nobody can delete what another host has taken; the owner drops the result
        owner, other = await world.owner(), await world.host()
        instance, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        await claim(other, 1)
        await owner.step(instance, status=RuntimeStatus.TERMINATED, drop_activities=True)
        assert await other.hub.complete_activity(task_key(calls[0]), raised("a")) is False
        assert await owner.pending("a") == []

    async def test_an_activity_of_a_replaced_instance_has_no_result(self, world: World) -> None:
        if world.harness.uses_queues:
            return  # nobody can delete what another host has taken; the owner drops the result
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        new = await owner.create("a", reusable=REUSE_ANY)
        assert await other.hub.complete_activity(task_key(call), raised("a")) is False
        assert await owner.pending("a") == [new.start]

    async def test_a_completed_activity_cannot_be_taken_by_a_turn(self, world: World) -> None:
        """Clause 7: its result comes as a message."""
        owner, other = await world.owner(), await world.host()
        instance, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        await claim(other, 1)
        await other.hub.complete_activity(task_key(calls[0]), raised("a"))
        turn = owner.turn(instance, taken=[task_key(calls[0])])
        assert await owner.lost(turn) is LostReason.MISSING

    async def test_a_result_outlives_who_stored_it(self, world: World) -> None:
        """Clause 9."""
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        result = raised("a")
        await other.hub.complete_activity(task_key(call), result)
        await other.die()
        assert [m.message for m in await owner.receive(1)] == [result]

    async def test_a_result_that_cannot_be_stored_leaves_the_activity_held(
        self, world: World
    ) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        with pytest.raises(StorageError):
            await other.hub.complete_activity(task_key(call), raised("a", id="\ud800"))
        assert await other.hub.complete_activity(task_key(call), raised("a"))


class KeepCases:
    """Clause 27."""

    async def test_what_still_runs_stays_with_the_former_owner(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        _, calls = await scheduled_calls(first, 3)
        await first.hub.release([first.lease_of("a")], [task_key(calls[1])])
        found = (await second.take("a")).activities
        assert [a.task_id for a in found] == [0, 2]
        result = raised("a")
        assert await first.hub.complete_activity(task_key(calls[1]), result)
        assert [m.message for m in await second.receive(1)] == [result]

    async def test_what_is_kept_runs_again_when_the_former_owner_dies(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        _, [call] = await scheduled_calls(first, 1)
        await first.hub.release([first.lease_of("a")], [task_key(call)])
        assert list((await second.take("a")).activities) == []
        await first.die()
        back = await second.hub.take_back_activities(second.lease_of("a"))
        assert back == [replace(call, attempt=2)]

    async def test_what_is_kept_comes_back_with_its_partition(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        _, [call] = await scheduled_calls(first, 1)
        await first.hub.release([first.lease_of("a")], [task_key(call)])
        await second.take("a")
        await second.release()
        assert [task_key(a) for a in (await first.take("a")).activities] == [task_key(call)]

    async def test_what_goes_along_cannot_be_claimed_before_it_is_recovered(
        self, world: World
    ) -> None:
        first, second, third = await world.owner(), await world.host(), await world.host()
        _, calls = await scheduled_calls(first, 3)
        await first.hub.release([first.lease_of("a")], [task_key(calls[0])])
        await second.take("a")
        await second.hub.offer_activities(calls[2:])
        assert await claim(third, 10) == [replace(calls[2], attempt=2)]

    async def test_only_what_we_hold_is_kept(self, world: World) -> None:
        first, second, third = await world.owner(), await world.host(), await world.host()
        [call] = await claimed_calls(first, third)
        await first.hub.release([first.lease_of("a")], [task_key(call)])
        assert list((await second.take("a")).activities) == []
        assert await first.hub.complete_activity(task_key(call), raised("a")) is False
        assert await third.hub.complete_activity(task_key(call), raised("a"))


class TakeBackCases:
    """Clause 26."""

    async def test_what_nobody_claimed_comes_back(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 3)
        await owner.hub.offer_activities(calls[:2])
        assert list(await owner.hub.take_back_activities(owner.lease_of("a"))) == calls[:2]
        assert list(await owner.hub.take_back_activities(owner.lease_of("a"))) == []
        await owner.hub.offer_activities(calls[2:])
        assert await claim(other, 10) == calls[2:]

    async def test_what_a_dead_host_claimed_comes_back_with_another_attempt(
        self, world: World
    ) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        await other.die()
        [back] = await owner.hub.take_back_activities(owner.lease_of("a"))
        assert back == replace(call, attempt=2)
        assert await owner.hub.complete_activity(task_key(back), raised("a"))

    async def test_what_a_live_host_claimed_is_left_to_it(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        [call] = await claimed_calls(owner, other)
        assert list(await owner.hub.take_back_activities(owner.lease_of("a"))) == []
        assert await other.hub.complete_activity(task_key(call), raised("a"))

    async def test_only_activities_of_the_partition_come_back(self, world: World) -> None:
        owner = await world.owner()
        ids = ids_in_different_partitions(2)
        offered = {}
        for instance_id in ids:
            _, offered[instance_id] = await scheduled_calls(owner, 1, instance_id)
            await owner.hub.offer_activities(offered[instance_id])
        for instance_id in ids:
            back = await owner.hub.take_back_activities(owner.lease_of(instance_id))
            assert back == offered[instance_id]

    async def test_taking_back_under_a_lost_lease_is_refused(self, world: World) -> None:
        owner, other = await world.owner(), await world.host()
        _, calls = await scheduled_calls(owner, 1)
        await owner.hub.offer_activities(calls)
        lease = owner.lease_of("a")
        await owner.hub.release([lease])
        with pytest.raises(LeaseLost):
            await owner.hub.take_back_activities(lease)
        assert await claim(other, 1) == calls

    async def test_attempts_are_counted_over_several_deaths(self, world: World) -> None:
        owner = await world.owner()
        _, calls = await scheduled_calls(owner, 1)
        for _ in range(2):
            await owner.hub.offer_activities(calls)
            other = await world.host()
            await claim(other, 1)
            await other.die()
            calls = list(await owner.hub.take_back_activities(owner.lease_of("a")))
        assert [a.attempt for a in calls] == [3]
        await owner.release()
        assert [a.attempt for a in (await owner.take("a")).activities] == [4]

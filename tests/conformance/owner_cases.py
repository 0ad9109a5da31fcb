"""Cases for the owner's verbs: clauses 2, 11, 12, 14 and 19."""

from __future__ import annotations

import asyncio

import pytest
from conformance.harness import PARTITIONS, World, ids_in_different_partitions
from support.durable_values import (
    activity,
    at,
    make_turn,
    raised,
    scheduled,
    task_key,
    timer,
)

from func_py.durable.model import partition_of
from func_py.durable.storage.base import Lease, LostReason
from func_py.errors import LeaseLost

EVERY = range(PARTITIONS)


class MailCases:
    """Clause 2."""

    async def test_the_owner_gets_its_own_messages(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        message = raised("a")
        await host.hub.send([message])
        assert [m.message for m in await host.receive(2)] == [new.start, message]

    async def test_the_owner_gets_the_messages_of_other_hosts(self, world: World) -> None:
        owner, client = await world.owner(), await world.host()
        new = await client.create("a")
        message = raised("a")
        await client.hub.send([message])
        mail = await owner.receive(2)
        assert [m.message for m in mail] == [new.start, message]
        assert [(m.partition, m.epoch) for m in mail] == [
            (owner.lease_of("a").partition, owner.lease_of("a").epoch)
        ] * 2

    async def test_a_message_does_not_overtake_one_that_another_host_stored_before(
        self, world: World
    ) -> None:
        owner, client = await world.owner(), await world.host()
        new = await owner.create("a")
        expected = [new.start.id]
        for number in range(6):
            message = raised("a")
            await (owner, client)[number % 2].hub.send([message])
            expected.append(message.id)
        assert await owner.receive_texts(7) == expected

    async def test_a_waiting_owner_is_woken(self, world: World) -> None:
        owner, client = await world.owner(), await world.host()
        waiting = asyncio.ensure_future(owner.receive(1))
        await asyncio.sleep(0)
        new = await client.create("a")
        assert [m.message for m in await waiting] == [new.start]

    async def test_mail_goes_to_the_owner_of_its_partition(self, world: World) -> None:
        first = await world.host(owns=[0, 1])
        second = await world.host(owns=[2, 3])
        ids = ids_in_different_partitions(PARTITIONS)
        for instance_id in ids:
            await first.create(instance_id)
        for host in (first, second):
            mine = {i for i in ids if partition_of(i, PARTITIONS) in host.leases}
            assert {m.message.instance_id for m in await host.receive(2)} == mine

    async def test_mail_is_received_once_per_lease(self, world: World) -> None:
        """Only with Capability.TRANSACTIONS."""
        if not world.harness.has_transactions:
            return
        owner, client = await world.host(), await world.host()
        await client.create("a")
        await owner.take("a")
        await owner.hub.send([raised("a", id="own")])
        await client.hub.send([raised("a", id="other's")])
        assert await owner.receive_texts(2) == ["own", "other's"]
        await client.hub.send([raised("a", id="last")])
        assert [m.message.id for m in await owner.hub.receive()] == ["last"]

    async def test_mail_that_was_not_consumed_reaches_the_next_owner(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        new = await first.create("a")
        await first.receive(1)
        await first.release()
        found = await second.take("a")
        assert [(m.message, m.token) for m in found.mail] == [
            (new.start, None if world.harness.loses_turns else new.token)
        ]

    async def test_mail_for_a_released_partition_is_not_delivered(self, world: World) -> None:
        host = await world.owner()
        released, kept = ids_in_different_partitions(2)
        lease = host.lease_of(released)
        await host.hub.release([lease])
        await host.create(released)
        new = await host.create(kept)
        assert await host.receive_texts(1) == [new.start.id]

    async def test_consumed_mail_does_not_come_again(self, world: World) -> None:
        host = await world.owner()
        await host.running("a")
        assert await host.pending("a") == []

    async def test_mail_stored_between_acquiring_and_recovering_is_not_missed(
        self, world: World
    ) -> None:
        host = await world.host()
        [lease] = await host.hub.acquire([partition_of("a", PARTITIONS)])
        new = await host.create("a")
        found = await host.hub.recover(lease, at(0))
        later = raised("a")
        await host.hub.send([later])
        mail = {m.message.id: m.message for m in found.mail}
        while later.id not in mail:
            [received] = await host.receive(1)
            mail.setdefault(received.message.id, received.message)
        assert list(mail.values()) == [new.start, later]

    async def test_recovering_twice_gives_everything_twice(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        lease = host.lease_of("a")
        for _ in range(2):
            found = await host.hub.recover(lease, at(0))
            assert [m.message for m in found.mail] == [new.start]

    async def test_discarded_mail_does_not_come_again(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        keep = raised("a")
        await host.hub.send([keep])
        await host.hub.discard(host.lease_of("a"), [new.start.id, "not stored"], [])
        assert await host.pending("a") == [keep]

    async def test_discarded_mail_cannot_be_consumed(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        await host.hub.discard(host.lease_of("a"), [new.start.id], [])
        turn = host.turn(new, consumed=[new.start.id])
        assert await host.lost(turn) is LostReason.MISSING


class LeaseCases:
    """Clause 11."""

    async def test_every_partition_can_be_acquired(self, world: World) -> None:
        host = await world.host()
        leases = await host.hub.acquire(EVERY)
        assert sorted(lease.partition for lease in leases) == list(EVERY)

    async def test_a_partition_has_one_owner(self, world: World) -> None:
        await world.host(owns=[0, 2])
        second = await world.host()
        leases = await second.hub.acquire(EVERY)
        assert sorted(lease.partition for lease in leases) == [1, 3]

    async def test_a_partition_that_is_ours_is_not_acquired_again(self, world: World) -> None:
        host = await world.owner()
        assert list(await host.hub.acquire(EVERY)) == []

    async def test_of_hosts_that_acquire_at_once_each_partition_has_one(self, world: World) -> None:
        hosts = [await world.host() for _ in range(3)]
        answers = await asyncio.gather(*(host.hub.acquire(EVERY) for host in hosts))
        taken = [lease.partition for leases in answers for lease in leases]
        assert sorted(taken) == list(EVERY)

    async def test_a_released_partition_can_be_acquired_at_once(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        await first.release()
        assert len(await second.hub.acquire(EVERY)) == PARTITIONS

    async def test_no_more_than_asked_for_is_acquired(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        assert len(await first.hub.acquire(EVERY, 3)) == 3
        assert list(await second.hub.acquire(EVERY, 0)) == []
        assert len(await second.hub.acquire(EVERY, 3)) == 1

    async def test_no_epoch_comes_twice(self, world: World) -> None:
        hosts = [await world.host(), await world.host()]
        epochs = []
        for number in range(4):
            [lease] = await hosts[number % 2].hub.acquire([1])
            epochs.append(lease.epoch)
            await hosts[number % 2].hub.release([lease])
        assert epochs == sorted(set(epochs))

    async def test_releasing_an_old_lease_changes_nothing(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        [old] = await first.hub.acquire([1])
        await first.hub.release([old])
        await second.hub.acquire([1])
        await first.hub.release([old])
        assert list(await first.hub.acquire([1])) == []

    async def test_a_closed_host_leaves_its_partitions(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        await first.hub.close()
        assert len(await second.hub.acquire(EVERY)) == PARTITIONS

    async def test_a_dead_host_s_partitions_can_be_acquired(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        await first.die()
        assert len(await second.hub.acquire(EVERY)) == PARTITIONS

    async def test_cancelled_acquiring_leaves_nothing_acquired(self, world: World) -> None:
        """Clause 19."""
        first, second = await world.host(), await world.host()
        acquiring = asyncio.ensure_future(first.hub.acquire(EVERY))
        await asyncio.sleep(0)
        acquiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acquiring
        leases: list[Lease] = []
        async with asyncio.timeout(20):
            while len(leases) < PARTITIONS:
                leases += await second.hub.acquire(EVERY)
        assert sorted(lease.partition for lease in leases) == list(EVERY)


class RecoverCases:
    """Clauses 12 and 14."""

    async def test_mail_comes_in_the_order_it_was_stored(self, world: World) -> None:
        client = await world.host()
        new = await client.create("a")
        messages = [raised("a") for _ in range(300)]
        for start in range(0, 300, 100):
            await client.hub.send(messages[start : start + 100])
        found = await client.take("a")
        assert [m.message for m in found.mail] == [new.start, *messages]

    async def test_only_mail_of_the_partition_comes(self, world: World) -> None:
        client = await world.host()
        ids = ids_in_different_partitions(2)
        for instance_id in ids:
            await client.create(instance_id)
        found = await client.take(ids[0])
        assert [m.message.instance_id for m in found.mail] == [ids[0]]

    async def test_only_the_start_of_an_instance_without_a_turn_has_a_token(
        self, world: World
    ) -> None:
        host = await world.owner()
        running = await host.running("a")
        other = await host.create("a-second")
        await host.hub.send([running.start, raised("a")])
        tokens = {}
        await host.release()
        for partition in EVERY:
            [lease] = await host.hub.acquire([partition])
            for mail in (await host.hub.recover(lease, at(0))).mail:
                tokens[mail.message.id] = mail.token
        expected = None if world.harness.loses_turns else other.token
        assert tokens.pop(other.start.id) == expected
        assert set(tokens.values()) == {None}

    async def test_timers_come_up_to_the_given_time(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        timers = [timer(running.state, number, at(number)) for number in (3, 1, 2)]
        await host.step(running, timers=timers)
        await host.release()
        [lease] = await host.hub.acquire([partition_of("a", PARTITIONS)])
        found = await host.hub.recover(lease, at(3))
        # Hidden messages cannot be listed: these come when they are due.
        expected = [] if world.harness.uses_queues else [1, 2]
        assert [t.task_id for t in found.timers] == expected

    async def test_a_dead_host_s_activities_run_again(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        running = await first.running("a")
        await first.step(running, activities=[activity(running.state, 1)])
        await first.die()
        found = await second.take("a")
        assert [(t.task_id, t.attempt, t.name, t.input) for t in found.activities] == [
            (1, 2, "Say", '"x"')
        ]

    async def test_released_activities_run_with_the_next_owner(self, world: World) -> None:
        first, second = await world.owner(), await world.host()
        running = await first.running("a")
        await first.step(running, activities=[activity(running.state, 1)])
        await first.release()
        assert [t.attempt for t in (await second.take("a")).activities] == [2]

    async def test_each_recovery_counts_an_attempt(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        await host.step(running, activities=[activity(running.state, 1)])
        attempts = []
        for _ in range(3):
            await host.release()
            attempts += [t.attempt for t in (await host.take("a")).activities]
        assert attempts == [2, 3, 4]

    async def test_a_discarded_activity_does_not_come_again(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        calls = [activity(running.state, number) for number in (1, 2)]
        await host.step(running, activities=calls)
        await host.hub.discard(host.lease_of("a"), [], [task_key(calls[0])])
        await host.release()
        assert [t.task_id for t in (await host.take("a")).activities] == [2]

    async def test_recovering_under_a_lost_lease_is_refused(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        [lease] = await first.hub.acquire([1])
        await first.hub.release([lease])
        await second.hub.acquire([1])
        with pytest.raises(LeaseLost) as caught:
            await first.hub.recover(lease, at(0))
        assert (caught.value.partition, caught.value.epoch) == (1, lease.epoch)

    async def test_discarding_under_a_lost_lease_is_refused(self, world: World) -> None:
        host = await world.owner()
        new = await host.create("a")
        lease = host.lease_of("a")
        await host.release()
        with pytest.raises(LeaseLost):
            await host.hub.discard(lease, [new.start.id], [])
        assert await host.pending("a") == [new.start]


class UnseenCases:
    """Clause 31."""

    async def test_nothing_but_timers_is_unseen_after_a_host_that_gave_all_back(
        self, world: World
    ) -> None:
        host = await world.owner()
        running = await host.running("a")
        await host.step(
            running,
            activities=[activity(running.state, 0)],
            timers=[timer(running.state, number, at(number)) for number in (1, 2)],
        )
        await host.hub.send([raised("a")])
        await host.hub.close()
        other = await world.host()
        await other.take("a")
        unseen = (await other.hub.unseen()).count
        assert unseen == (2 if world.harness.uses_queues else 0)


class CancelCases:
    """Clause 19."""

    async def test_cancelled_receiving_loses_no_mail(self, world: World) -> None:
        owner = await world.owner()
        waiting = asyncio.ensure_future(owner.hub.receive())
        await asyncio.sleep(0)
        new = await owner.create("a")
        # The mail may be on its way to the waiting task just now.
        waiting.cancel()
        answers = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(answers[0], asyncio.CancelledError):
            assert await owner.receive_texts(1) == [new.start.id]

    async def test_a_cancelled_commit_happened_or_did_not(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        committing = asyncio.ensure_future(
            host.hub.commit([host.turn(running, events=scheduled(1, 2))])
        )
        await asyncio.sleep(0)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        # A later write is behind it, so what it did is decided now.
        await host.hub.send([raised("a")])
        loaded = await host.load("a")
        turn = make_turn(host.lease_of("a"), loaded.token, loaded.state, events=scheduled(1, 9))
        await host.commit(turn)
        history = await host.history("a")
        assert history in ([*scheduled(3), *scheduled(1, 9)], [*scheduled(2), *scheduled(1, 9)])

    async def test_cancelled_calls_leave_nothing_locked(self, world: World) -> None:
        host, other = await world.owner(), await world.host()
        await host.running("a")
        calls = [
            asyncio.ensure_future(call)
            for call in (
                host.hub.send([raised("a")]),
                host.hub.load("a"),
                host.hub.purge("a"),
                host.hub.hosts(),
                host.hub.recover(host.lease_of("a"), at(0)),
            )
        ]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await other.create("b")
        await host.create("c")

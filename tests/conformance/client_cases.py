"""Cases for the client's verbs: clauses 1, 3, 10, 15, 16 and 17."""

from __future__ import annotations

import asyncio

import pytest
from conformance.harness import Host, World
from support.durable_values import (
    activity,
    at,
    make_start,
    make_turn,
    raised,
    scheduled,
    timer,
)

from func_py.durable.model import RuntimeStatus
from func_py.durable.storage.base import (
    REUSE_ANY,
    REUSE_FINISHED,
    InstanceQuery,
    LostReason,
)
from func_py.errors import (
    FuncPyError,
    InstanceAlreadyExists,
    InstanceNotFinished,
    StorageError,
    UserError,
)

COMPLETED = RuntimeStatus.COMPLETED


async def finished(host: Host, instance_id: str) -> None:
    """Run an instance to its end."""
    running = await host.running(instance_id)
    await host.step(running, status=COMPLETED, events=scheduled(1))


class CreateCases:
    """Clause 1."""

    async def test_a_new_instance_is_stored_as_given(self, world: World) -> None:
        host = await world.host()
        state, start = make_start("a")
        await host.hub.create_instance(state, start, REUSE_FINISHED)
        assert await host.hub.get_instance("a") == state

    async def test_the_start_message_is_stored_with_the_instance(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        assert await host.pending("a") == [new.start]

    @pytest.mark.parametrize("reusable", [REUSE_FINISHED, frozenset()])
    async def test_an_id_in_use_is_refused(
        self, world: World, reusable: frozenset[RuntimeStatus]
    ) -> None:
        host = await world.host()
        await host.create("a")
        with pytest.raises(InstanceAlreadyExists) as caught:
            await host.create("a", reusable=reusable)
        assert (caught.value.instance_id, caught.value.status) == ("a", "Pending")

    async def test_a_refused_start_leaves_no_trace(self, world: World) -> None:
        host = await world.host()
        first = await host.create("a")
        with pytest.raises(InstanceAlreadyExists):
            await host.create("a", created_at=at(9))
        assert await host.hub.get_instance("a") == first.state
        assert await host.pending("a") == [first.start]

    async def test_a_finished_instance_is_replaced_with_all_that_was_its_own(
        self, world: World
    ) -> None:
        host = await world.owner()
        old = await host.running("a")
        await host.step(
            old,
            status=COMPLETED,
            events=scheduled(1),
            activities=[activity(old.state, 7)],
        )
        await host.hub.send([raised("a")])
        new = await host.create("a")
        assert await host.hub.get_instance("a") == new.state
        assert await host.history("a") == []
        await host.release()
        found = await host.take("a")
        assert [m.message for m in found.mail] == [new.start]
        assert list(found.activities) == []

    async def test_a_running_instance_is_replaced_when_the_policy_says_so(
        self, world: World
    ) -> None:
        host = await world.owner()
        old = await host.running("a")
        await host.step(old, timers=[timer(old.state, 5, at(60))])
        new = await host.create("a", reusable=REUSE_ANY)
        assert await host.hub.get_instance("a") == new.state
        assert await host.hub.timers(host.lease_of("a"), at(0), at(3600)) == []

    async def test_of_two_hosts_that_start_the_same_id_one_wins(self, world: World) -> None:
        hosts = [await world.host(), await world.host()]
        starts = [make_start("a") for _ in hosts for _ in range(3)]
        answers = await asyncio.gather(
            *(
                hosts[number % 2].hub.create_instance(state, start, REUSE_FINISHED)
                for number, (state, start) in enumerate(starts)
            ),
            return_exceptions=True,
        )
        [winner] = [start for start, answer in zip(starts, answers, strict=True) if answer is None]
        assert sum(isinstance(answer, InstanceAlreadyExists) for answer in answers) == 5
        assert await hosts[0].hub.get_instance("a") == winner[0]
        assert await hosts[0].pending("a") == [winner[1]]

    async def test_the_same_start_may_be_repeated(self, world: World) -> None:
        """Clause 18: after an answer that got lost."""
        host = await world.host()
        state, start = make_start("a")
        await host.hub.create_instance(state, start, REUSE_FINISHED)
        await host.hub.create_instance(state, start, REUSE_FINISHED)
        assert await host.pending("a") == [start]

    async def test_a_value_that_cannot_be_stored_is_an_error(self, world: World) -> None:
        host = await world.host()
        state, start = make_start("a", input="\ud800")
        with pytest.raises(StorageError):
            await host.hub.create_instance(state, start, REUSE_FINISHED)
        assert await host.hub.get_instance("a") is None


class SendCases:
    """Clause 3."""

    async def test_a_message_is_stored(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        message = raised("a", input='{"é": "\\u0000\\ud83d\\ude00"}')
        await host.hub.send([message])
        assert await host.pending("a") == [new.start, message]

    async def test_messages_are_stored_all_or_none(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        with pytest.raises(FuncPyError):
            await host.hub.send([raised("a"), raised("a", input="\ud800")])
        assert await host.pending("a") == [new.start]

    async def test_a_message_that_is_stored_already_is_not_stored_again(self, world: World) -> None:
        host = await world.host()
        new = await host.create("a")
        message = raised("a")
        await host.hub.send([message])
        await host.hub.send([raised("a", id="next"), message])
        assert [m.id for m in await host.pending("a")] == [new.start.id, message.id, "next"]

    async def test_a_message_for_nobody_is_dropped_and_the_others_are_stored(
        self, world: World
    ) -> None:
        host = await world.host()
        new = await host.create("a")
        message = raised("a")
        await host.hub.send([raised("nobody"), message])
        assert await host.pending("a") == [new.start, message]
        assert await host.pending("nobody") == []

    async def test_a_message_for_an_entity_waits_for_it(self, world: World) -> None:
        host = await world.host()
        message = raised("@counter@a")
        await host.hub.send([message])
        assert await host.pending("@counter@a") == [message]

    async def test_sending_nothing_is_allowed(self, world: World) -> None:
        host = await world.host()
        await host.hub.send([])


class PurgeCases:
    """Clause 15."""

    async def test_purging_an_unknown_instance_is_false(self, world: World) -> None:
        host = await world.host()
        assert await host.hub.purge("a") is False

    async def test_an_unfinished_instance_is_not_purged(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        with pytest.raises(InstanceNotFinished) as caught:
            await host.hub.purge("a")
        assert caught.value.status == "Running"
        assert await host.hub.get_instance("a") == running.state

    async def test_a_purged_instance_is_gone_with_all_that_was_its_own(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        await host.step(
            running, status=COMPLETED, events=scheduled(3), activities=[activity(running.state, 1)]
        )
        await host.hub.send([raised("a")])
        assert await host.hub.purge("a") is True
        assert await host.hub.get_instance("a") is None
        assert await host.history("a") == []
        assert await host.hub.load("a") is None
        await host.release()
        found = await host.take("a")
        assert (list(found.mail), list(found.activities)) == ([], [])

    async def test_a_purged_entity_still_gets_what_was_sent_to_it(self, world: World) -> None:
        host = await world.owner()
        state, _ = make_start("@counter@a")
        lease = host.lease_of("@counter@a")
        await host.commit(make_turn(lease, None, state, status=COMPLETED))
        message = raised("@counter@a")
        await host.hub.send([message])
        assert await host.hub.purge("@counter@a") is True
        assert await host.hub.get_instance("@counter@a") is None
        assert await host.pending("@counter@a") == [message]

    async def test_a_purged_id_is_free(self, world: World) -> None:
        host = await world.owner()
        await finished(host, "a")
        await host.hub.purge("a")
        new = await host.create("a", reusable=frozenset())
        assert await host.hub.get_instance("a") == new.state

    async def test_any_host_may_purge(self, world: World) -> None:
        owner = await world.owner()
        other = await world.host()
        running = await owner.running("a")
        last = await owner.step(running, status=COMPLETED)
        assert await other.hub.purge("a") is True
        assert await owner.lost(owner.turn(last)) is LostReason.STALE


class ReadCases:
    """Clauses 10 and 16."""

    async def test_every_host_sees_what_was_reported_as_done(self, world: World) -> None:
        owner = await world.owner()
        other = await world.host()
        running = await owner.running("a")
        assert await other.hub.get_instance("a") == running.state
        assert await other.history("a") == scheduled(2)

    async def test_an_unknown_instance_reads_as_none(self, world: World) -> None:
        host = await world.host()
        assert await host.hub.get_instance("a") is None
        assert await host.history("a") == []
        assert await host.hub.load("a") is None

    async def test_history_is_in_the_order_it_was_appended(self, world: World) -> None:
        host = await world.owner()
        instance = await host.create("a")
        first = 0
        for count in (1, 0, 3, 700, 2):
            instance = await host.step(instance, events=scheduled(count, first))
            first += count
        assert await host.history("a") == scheduled(706)

    async def test_replaced_history_leaves_nothing_of_the_old_one(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        long = await host.step(running, events=scheduled(600, 2))
        short = await host.step(long, events=scheduled(1, 50), replaces_history=True)
        await host.step(short, events=scheduled(1, 51))
        assert await host.history("a") == scheduled(2, 50)

    async def test_load_gives_record_history_and_token_of_one_moment(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        loaded = await host.load("a")
        assert loaded.state == running.state
        assert loaded.history == scheduled(2)
        assert loaded.token == running.token

    async def test_load_without_history_leaves_it_out(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        loaded = await host.hub.load("a", history=False)
        assert loaded is not None
        assert (loaded.state, loaded.token) == (running.state, running.token)
        assert loaded.history == []


class QueryCases:
    """Clause 17."""

    async def test_instances_come_by_creation_time_then_id(self, world: World) -> None:
        host = await world.host()
        for name, seconds in (("c", 1), ("a", 2), ("b", 1)):
            await host.create(name, created_at=at(seconds))
        expected = ["a", "b", "c"] if world.harness.uses_queues else ["b", "c", "a"]
        assert await self.ids(host, InstanceQuery()) == expected

    async def test_the_record_comes_whole(self, world: World) -> None:
        host = await world.owner()
        running = await host.running("a")
        page = await host.hub.query_instances(InstanceQuery())
        assert page.items == [running.state]
        assert page.continuation == ""

    async def test_statuses_select(self, world: World) -> None:
        host = await world.owner()
        await finished(host, "done")
        await host.running("busy")
        await host.create("new")
        chosen = frozenset({COMPLETED, RuntimeStatus.PENDING})
        assert sorted(await self.ids(host, InstanceQuery(statuses=chosen))) == ["done", "new"]

    async def test_bounds_on_creation_time_are_inclusive(self, world: World) -> None:
        host = await world.host()
        for seconds in range(5):
            await host.create(f"i{seconds}", created_at=at(seconds))
        query = InstanceQuery(created_from=at(1), created_to=at(3))
        assert await self.ids(host, query) == ["i1", "i2", "i3"]

    async def test_a_prefix_selects_exactly(self, world: World) -> None:
        host = await world.host()
        for name in ("ab", "abc", "aB", "a%", "b", "éa", "é"):
            await host.create(name)
        assert sorted(await self.ids(host, InstanceQuery(prefix="ab"))) == ["ab", "abc"]
        assert await self.ids(host, InstanceQuery(prefix="a%")) == ["a%"]
        assert await self.ids(host, InstanceQuery(prefix="é")) == ["é", "éa"]

    async def test_entities_come_only_when_asked_for(self, world: World) -> None:
        host = await world.owner()
        await host.create("a")
        state, _ = make_start("@counter@a")
        await host.commit(make_turn(host.lease_of("@counter@a"), None, state))
        assert await self.ids(host, InstanceQuery()) == ["a"]
        assert await self.ids(host, InstanceQuery(prefix="@")) == ["@counter@a"]
        assert await self.ids(host, InstanceQuery(prefix="@other@")) == []

    async def test_pages_hold_every_instance_once(self, world: World) -> None:
        host = await world.host()
        for number in range(7):
            await host.create(f"i{number}", created_at=at(number // 3))
        pages = []
        query = InstanceQuery(page_size=2)
        while True:
            page = await host.hub.query_instances(query)
            pages.append([state.instance_id for state in page.items])
            if not page.continuation:
                break
            query = InstanceQuery(page_size=2, continuation=page.continuation)
        assert pages == [["i0", "i1"], ["i2", "i3"], ["i4", "i5"], ["i6"]]

    async def test_a_page_that_fits_exactly_is_the_last(self, world: World) -> None:
        host = await world.host()
        await host.create("a")
        page = await host.hub.query_instances(InstanceQuery(page_size=1))
        assert page.continuation == ""

    async def test_paging_goes_on_whatever_came_and_went(self, world: World) -> None:
        host = await world.owner()
        for number in (1, 2, 3, 4):
            await host.create(f"i{number}", created_at=at(number))
        first = await host.hub.query_instances(InstanceQuery(page_size=2))
        await host.create("early", created_at=at(0))
        await host.create("late", created_at=at(9))
        # The item at which the first page ended is gone.
        new = await host.load("i2")
        await host.commit(make_turn(host.lease_of("i2"), new.token, new.state, status=COMPLETED))
        await host.hub.purge("i2")
        rest = await self.ids(host, InstanceQuery(continuation=first.continuation))
        assert rest == ["i3", "i4", "late"]

    async def test_a_foreign_continuation_token_is_the_caller_s_mistake(self, world: World) -> None:
        host = await world.host()
        with pytest.raises(UserError):
            await host.hub.query_instances(InstanceQuery(continuation="bogus!"))

    @staticmethod
    async def ids(host: Host, query: InstanceQuery) -> list[str]:
        """Ids on the page."""
        page = await host.hub.query_instances(query)
        return [state.instance_id for state in page.items]

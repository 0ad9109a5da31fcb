"""Cases for histories, some of them longer than a page: clauses 10 and 33."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from conformance.harness import Instance, World
from msgspec.structs import replace
from support.durable_values import large_events, make_start, scheduled

from func_py.durable.model import HistoryEvent, LongTimers, RuntimeStatus, encode_events
from func_py.durable.storage.base import PAGE_BYTES
from func_py.durable.storage.histories import history_pages, load_whole
from func_py.errors import HistoryChanged

COMPLETED = RuntimeStatus.COMPLETED


class LongTimerCases:
    """Clause 33."""

    @pytest.mark.parametrize(
        "cut", [None, LongTimers(longest=timedelta(days=6), interval=timedelta(days=3))]
    )
    async def test_an_execution_keeps_how_its_timers_are_cut(
        self, world: World, cut: LongTimers | None
    ) -> None:
        host = await world.owner()
        state, message = make_start("a")
        start = replace(message, event=replace(message.event, long_timers=cut))
        await host.hub.create_instance(state, start, ())
        [mail] = await host.receive(1)
        assert mail.message.event == start.event
        new = Instance(state, start, await host.token("a"))
        await host.step(new, consumed=[start.id], events=[start.event, *scheduled(1)])
        assert await host.history("a") == [start.event, *scheduled(1)]


class PageCases:
    """Clause 10: histories that are longer than a page."""

    async def test_pages_give_every_event_once_and_are_of_bounded_size(self, world: World) -> None:
        host = await world.owner()
        instance = await host.create("a")
        events = large_events(4 * PAGE_BYTES)
        for some in (events[:30], events[30:31], events[31:]):
            instance = await host.step(instance, events=some)
        pages = [page async for page in history_pages(host.hub, "a")]
        assert [event for page in pages for event in page] == events
        assert max(map(_size, pages)) < 2 * PAGE_BYTES

    async def test_an_event_larger_than_a_page_is_given(self, world: World) -> None:
        host = await world.owner()
        instance = await host.create("a")
        events = [*scheduled(2), *large_events(3 * PAGE_BYTES, 1), *scheduled(2)]
        await host.step(instance, events=events)
        assert await host.history("a") == events

    async def test_load_gives_the_first_page_and_where_to_go_on(self, world: World) -> None:
        host = await world.owner()
        events = large_events(3 * PAGE_BYTES)
        await host.step(await host.create("a"), events=events)
        loaded = await host.load("a")
        assert _size(loaded.history) < 2 * PAGE_BYTES
        assert loaded.more is not None
        whole = await load_whole(host.hub, "a")
        assert whole == replace(loaded, history=events, more=None)

    async def test_pages_of_a_load_end_when_another_turn_is_committed(self, world: World) -> None:
        host = await world.owner()
        long = await host.step(await host.create("a"), events=large_events(3 * PAGE_BYTES))
        loaded = await host.load("a")
        await host.step(long, events=scheduled(1))
        with pytest.raises(HistoryChanged):
            await host.hub.read_history("a", loaded.more)

    async def test_pages_of_a_reader_go_on_while_the_instance_does(self, world: World) -> None:
        host = await world.owner()
        events = large_events(3 * PAGE_BYTES)
        long = await host.step(await host.create("a"), events=events)
        page = await host.hub.read_history("a")
        read = list(page.events)
        await host.step(long, events=scheduled(1, 100))
        while page.next is not None:
            page = await host.hub.read_history("a", page.next)
            read += page.events
        assert read == [*events, *scheduled(1, 100)]

    @pytest.mark.parametrize("how", ["continued", "started anew", "purged"])
    async def test_pages_end_with_the_execution(self, world: World, how: str) -> None:
        host = await world.owner()
        long = await host.step(await host.create("a"), events=large_events(3 * PAGE_BYTES))
        page = await host.hub.read_history("a")
        if how == "continued":
            state = replace(long.state, execution_id="next")
            await host.step(long._replace(state=state), events=scheduled(1), replaces_history=True)
        else:
            await host.step(long, status=COMPLETED)
            if how == "purged":
                await host.hub.purge("a")
            else:
                await host.create("a")
        with pytest.raises(HistoryChanged):
            await host.hub.read_history("a", page.next)


def _size(events: Sequence[HistoryEvent]) -> int:
    return len(encode_events(events))

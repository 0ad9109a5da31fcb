"""Histories as a whole, put together from the pages that a task hub gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from func_py.durable.model import HistoryEvent
from func_py.durable.storage.base import Loaded, TaskHub
from func_py.errors import HistoryChanged


async def history_pages(hub: TaskHub, instance_id: str) -> AsyncIterator[Sequence[HistoryEvent]]:
    """The events of the current execution, page by page; raises HistoryChanged."""
    page = await hub.read_history(instance_id)
    yield page.events
    while page.next is not None:
        page = await hub.read_history(instance_id, page.next)
        yield page.events


async def whole_history(
    hub: TaskHub, instance_id: str, *kinds: type[HistoryEvent]
) -> list[HistoryEvent]:
    """The events of the current execution in memory at once; of these kinds only, when given."""
    while True:
        try:
            return [
                event
                async for events in history_pages(hub, instance_id)
                for event in events
                if not kinds or isinstance(event, kinds)
            ]
        except HistoryChanged:
            continue


async def load_whole(hub: TaskHub, instance_id: str) -> Loaded | None:
    """An instance with its whole history, of one moment."""
    while True:
        loaded = await hub.load(instance_id)
        if loaded is None or loaded.more is None:
            return loaded
        events = list(loaded.history)
        more = loaded.more
        try:
            while more is not None:
                page = await hub.read_history(instance_id, more)
                events += page.events
                more = page.next
        except HistoryChanged:
            continue
        return replace(loaded, history=events, more=None)

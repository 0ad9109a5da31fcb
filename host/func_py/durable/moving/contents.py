"""What a task hub holds, read by a host that owns all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from func_py.durable.model import HistoryEvent, InstanceState, TimerFired, TimerTask, new_id
from func_py.durable.moving.file import PendingLine
from func_py.durable.storage.base import (
    HostRecord,
    HubInfo,
    InstanceQuery,
    Lease,
    Loaded,
    TaskHub,
)
from func_py.errors import UserError

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_PAGE = 500

PREFIXES = ("", "@")
"""Of orchestrations, and of entities: a query gives one or the other."""


def new_host(started_at: datetime) -> HostRecord:
    """Whoever moves a hub is one of its hosts, without functions."""
    return HostRecord(host_id=new_id(), started_at=started_at)


async def refuse_company(hub: TaskHub, info: HubInfo, host: HostRecord) -> None:
    """Raises UserError when another host lives."""
    others = [other.host_id for other in await hub.hosts() if other.host_id != host.host_id]
    if others:
        raise UserError(
            f"The task hub {info.location} is open in host {others[0]}; stop it first. A host that "
            "was killed counts as running until its lease is over, on servers for some seconds."
        )


async def own(hub: TaskHub, info: HubInfo) -> list[Lease]:
    """All partitions; raises UserError when somebody else has one."""
    leases = await hub.acquire(range(info.partition_count))
    if len(leases) < info.partition_count:
        raise UserError(f"The task hub {info.location} is open in another host; stop it first.")
    return sorted(leases, key=lambda lease: lease.partition)


async def pending(hub: TaskHub, leases: list[Lease]) -> dict[str, PendingLine]:
    """What waits, by instance; from now on the attempts of its activities are one more."""
    found: dict[str, PendingLine] = {}

    def of(instance_id: str) -> PendingLine:
        return found.setdefault(instance_id, PendingLine(instance_id=instance_id))

    for lease in leases:
        recovered = await hub.recover(lease, _END_OF_TIME)
        for mail in recovered.mail:
            message, event = mail.message, mail.message.event
            if isinstance(event, TimerFired):
                # The way in which timers of a former host come back.
                timer = TimerTask(
                    instance_id=message.instance_id,
                    execution_id=message.execution_id,
                    task_id=event.task_id,
                    fire_at=event.fire_at,
                )
                of(message.instance_id).timers.append(timer)
            else:
                of(message.instance_id).mail.append(message)
        for timer in recovered.timers:
            of(timer.instance_id).timers.append(timer)
        for activity in recovered.activities:
            of(activity.instance_id).activities.append(activity)
    for line in found.values():
        line.timers.sort(key=lambda timer: (timer.fire_at, timer.task_id))
        line.activities.sort(key=lambda activity: (activity.execution_id, activity.task_id))
    return found


class Reading:
    """An instance as the hub has it, its history read page by page."""

    def __init__(self, hub: TaskHub, instance_id: str, loaded: Loaded | None) -> None:
        self._hub = hub
        self.instance_id = instance_id
        self.state = None if loaded is None else loaded.state
        self._events = [] if loaded is None else list(loaded.history)
        self._more = None if loaded is None else loaded.more

    async def next_page(self) -> list[HistoryEvent]:
        """Some events; none at the end."""
        if not self._events and self._more is not None:
            await self._read_on()
        taken, self._events = self._events, []
        return taken

    async def _read_on(self) -> None:
        page = await self._hub.read_history(self.instance_id, self._more)
        self._events += page.events
        self._more = page.next

    async def take(self, count: int) -> list[HistoryEvent]:
        """The next events; fewer at the end."""
        while len(self._events) < count and self._more is not None:
            await self._read_on()
        taken = self._events[:count]
        del self._events[:count]
        return taken

    @property
    def is_at_end(self) -> bool:
        """Has all been taken?"""
        return not self._events and self._more is None


async def begin_reading(hub: TaskHub, instance_id: str) -> Reading:
    """Read an instance from its beginning."""
    return Reading(hub, instance_id, await hub.load(instance_id))


async def instances(hub: TaskHub) -> AsyncIterator[InstanceState]:
    """All instances: orchestrations, then entities."""
    async for states in pages(hub):
        for state in states:
            yield state


async def pages(hub: TaskHub) -> AsyncIterator[Sequence[InstanceState]]:
    """All instances, many at a time."""
    for prefix in PREFIXES:
        continuation = ""
        while True:
            page = await hub.query_instances(
                InstanceQuery(prefix=prefix, page_size=_PAGE, continuation=continuation)
            )
            yield page.items
            continuation = page.continuation
            if not continuation:
                break

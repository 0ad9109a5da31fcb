"""What a task hub holds, read by a host that owns all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from msgspec.structs import replace

from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    TimerFired,
    TimerTask,
    new_id,
    partition_of,
)
from func_py.durable.moving.file import PendingLine
from func_py.durable.storage.base import (
    HostRecord,
    HubInfo,
    InstanceQuery,
    Lease,
    Loaded,
    Mail,
    TaskHub,
    TaskKey,
)
from func_py.errors import InternalError, UserError

T = TypeVar("T")

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


class Pending:
    """What waits, by instance. Large payloads are read when it is taken."""

    def __init__(self, hub: TaskHub, leases: Sequence[Lease]) -> None:
        self._hub = hub
        self._leases = leases
        self._lines: dict[str, PendingLine] = {}
        self._withheld: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[str]:
        """The instances for which something waits, as of now."""
        return iter(list(self._lines))

    async def read(self) -> None:
        """Recover the partitions; from now on the attempts of their activities are one more."""
        for lease in self._leases:
            recovered = await self._hub.recover(lease, _END_OF_TIME)
            for mail in recovered.mail:
                self._add_mail(mail)
            for timer in recovered.timers:
                self._of(timer.instance_id).timers.append(timer)
            for activity in recovered.activities:
                self._of(activity.instance_id).activities.append(activity)

    def _add_mail(self, mail: Mail) -> None:
        message, event = mail.message, mail.message.event
        if mail.withheld:
            self._withheld.add(message.id)
        if isinstance(event, TimerFired):
            # The way in which timers of a former host come back.
            timer = TimerTask(
                instance_id=message.instance_id,
                execution_id=message.execution_id,
                task_id=event.task_id,
                fire_at=event.fire_at,
            )
            self._of(message.instance_id).timers.append(timer)
        else:
            self._of(message.instance_id).mail.append(message)

    def _of(self, instance_id: str) -> PendingLine:
        return self._lines.setdefault(instance_id, PendingLine(instance_id=instance_id))

    async def take(self, instance_id: str) -> PendingLine:
        """What waits for an instance, whole; it is taken once."""
        line = self._lines.pop(instance_id, None) or PendingLine(instance_id=instance_id)
        line.timers.sort(key=lambda timer: (timer.fire_at, timer.task_id))
        line.activities.sort(key=lambda activity: (activity.execution_id, activity.task_id))
        lease = self._leases[partition_of(instance_id, len(self._leases))]
        for at, message in enumerate(line.mail):
            if message.id in self._withheld:
                mail = await self._hub.read_mail(lease, message.id)
                line.mail[at] = _there(mail, message.id).message
        for at, call in enumerate(line.activities):
            if call.withheld:
                key = TaskKey(instance_id, call.execution_id, call.task_id)
                whole = _there(await self._hub.read_activity(key), call.name)
                line.activities[at] = replace(call, input=whole.input, withheld=False)
        return line


def _there(found: T | None, what: str) -> T:
    if found is None:
        raise InternalError(f"'{what}' is gone, and nobody was there")
    return found


async def pending(hub: TaskHub, leases: Sequence[Lease]) -> Pending:
    """What waits in these partitions, which are all."""
    found = Pending(hub, leases)
    await found.read()
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
    """All instances, many at a time; large inputs and outputs may be missing."""
    for prefix in PREFIXES:
        continuation = ""
        while True:
            page = await hub.query_instances(
                InstanceQuery(
                    prefix=prefix,
                    page_size=_PAGE,
                    continuation=continuation,
                    inputs=False,
                    outputs=False,
                )
            )
            yield page.items
            continuation = page.continuation
            if not continuation:
                break

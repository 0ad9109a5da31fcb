"""What a task hub holds, read by a host that owns all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from func_py.durable.model import InstanceState, new_id
from func_py.durable.moving.file import PendingLine
from func_py.durable.storage.base import (
    Capability,
    HostRecord,
    HubInfo,
    InstanceQuery,
    Lease,
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


def refuse_weak(info: HubInfo) -> None:
    """Raises UserError for a store whose hubs cannot be moved."""
    if Capability.TRANSACTIONS not in info.capabilities:
        raise UserError(f"Task hubs of the provider {info.provider} cannot be moved.")


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
            of(mail.message.instance_id).mail.append(mail.message)
        for timer in recovered.timers:
            of(timer.instance_id).timers.append(timer)
        for activity in recovered.activities:
            of(activity.instance_id).activities.append(activity)
    for line in found.values():
        line.timers.sort(key=lambda timer: (timer.fire_at, timer.task_id))
        line.activities.sort(key=lambda activity: (activity.execution_id, activity.task_id))
    return found


async def instances(hub: TaskHub) -> AsyncIterator[InstanceState]:
    """All instances: orchestrations, then entities."""
    for prefix in PREFIXES:
        continuation = ""
        while True:
            page = await hub.query_instances(
                InstanceQuery(prefix=prefix, page_size=_PAGE, continuation=continuation)
            )
            for state in page.items:
                yield state
            continuation = page.continuation
            if not continuation:
                break

"""Writes all of a task hub into a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from msgspec.structs import replace

from func_py.clock import Clock, wait_until
from func_py.durable.model import LongTimers
from func_py.durable.moving import contents
from func_py.durable.moving.file import (
    FORMAT,
    EventsLine,
    Header,
    HubFile,
    HubFileWriter,
    InstanceLine,
    PendingLine,
    Summary,
)
from func_py.durable.moving.owed import Owed
from func_py.durable.moving.unfinished import refuse_unfinished
from func_py.durable.storage.base import (
    Capability,
    HostRecord,
    HubInfo,
    Lease,
    TaskHub,
    Unseen,
)
from func_py.errors import InternalError, UserError

Progress = Callable[[int, int], None]
"""How many instances are done, and of how many."""

Waiting = Callable[[Unseen], None]
"""Told of what cannot be read yet, and is waited for."""

_READ_TOGETHER = 16
_LOOK_AGAIN = timedelta(seconds=1)


async def export_hub(
    hub: TaskHub,
    info: HubInfo,
    host: HostRecord,
    file: HubFile,
    clock: Clock,
    progress: Progress,
    waiting: Waiting,
) -> Summary:
    """Write what the hub holds; it stays as it is, but for the attempts of its activities.

    What a host that was killed has left hidden is waited for.

    Args:
        hub: Open as that host.
        info: Of the hub.
        host: Owns all partitions from here until it closes the hub.
        file: Does not exist yet.
        clock: Tells when it was.
        progress: Told after each instance.
        waiting: Told before waiting.

    Raises:
        UserError: A host runs on the hub, or the file cannot be written.
        StorageUnavailable: The store does not answer; there is no file.
    """
    await refuse_unfinished(hub, info)
    await contents.refuse_company(hub, info, host)
    leases = await contents.own(hub, info)
    pending = await _all_pending(hub, leases, clock, waiting)
    is_exact = Capability.TRANSACTIONS in info.capabilities
    total = 0
    async for _ in contents.instances(hub):
        total += 1
    with file.writing() as writer:
        writer.write(
            Header(
                format=FORMAT,
                hub=info.name,
                provider=info.provider,
                partitions=info.partition_count,
                instances=total,
                exported_at=clock.now(),
            )
        )
        async for reading in _readings(hub):
            line = await pending.take(reading.instance_id)
            await _write_instance(reading, line, writer, hub.long_timers, is_exact=is_exact)
            progress(writer.counts.instances, total)
        for instance_id in pending:
            # Only entities get mail before they exist; the rest was meant for what is gone.
            if instance_id.startswith("@"):
                line = await pending.take(instance_id)
                writer.write(PendingLine(instance_id=line.instance_id, mail=line.mail))
        await contents.refuse_company(hub, info, host)
        if set(leases) != set(await hub.renew()):
            raise UserError(f"A host has begun to work on the task hub {info.location}; stop it.")
        if writer.counts.instances != total:
            raise UserError(
                "Something was started or deleted during the export. Make sure that no host and no "
                "client uses the task hub, and repeat it."
            )
    return writer.counts


async def _all_pending(
    hub: TaskHub, leases: list[Lease], clock: Clock, waiting: Waiting
) -> contents.Pending:
    """What waits, by instance, also what cannot be read at first (clause 31)."""
    since = clock.now()
    is_told = False
    while True:
        pending = await contents.pending(hub, leases)
        unseen = await hub.unseen()
        end = since + unseen.within
        if not unseen.count or clock.now() >= end:
            return pending
        if not is_told:
            is_told = True
            waiting(unseen)
        await wait_until(clock, min(end, clock.now() + _LOOK_AGAIN))


async def _readings(hub: TaskHub) -> AsyncIterator[contents.Reading]:
    """All instances, the beginnings of some read at a time: each may take a few requests."""
    async for states in contents.pages(hub):
        for start in range(0, len(states), _READ_TOGETHER):
            ids = [state.instance_id for state in states[start : start + _READ_TOGETHER]]
            for reading in await asyncio.gather(*(contents.begin_reading(hub, i) for i in ids)):
                yield reading


async def _write_instance(
    reading: contents.Reading,
    pending: PendingLine,
    writer: HubFileWriter,
    long_timers: LongTimers | None,
    *,
    is_exact: bool,
) -> None:
    if reading.state is None:
        raise InternalError(f"instance {reading.instance_id} is gone, and nobody was there")
    owed = None if is_exact else Owed(reading.state, pending, long_timers)
    writer.write(InstanceLine(state=reading.state))
    while events := await reading.next_page():
        writer.write(EventsLine(events=events))
        if owed is not None:
            owed.see(events)
    if owed is not None:
        pending = owed.pending()
    if pending.mail or pending.timers or pending.activities:
        # Reading them has counted a run that never was.
        calls = [replace(call, attempt=call.attempt - 1) for call in pending.activities]
        writer.write(replace(pending, activities=calls))

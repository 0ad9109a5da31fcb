"""Writes all of a task hub into a file."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from func_py.clock import Clock
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
from func_py.durable.moving.unfinished import refuse_unfinished
from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub
from func_py.errors import InternalError, UserError

Progress = Callable[[int, int], None]
"""How many instances are done, and of how many."""


async def export_hub(
    hub: TaskHub, info: HubInfo, host: HostRecord, file: HubFile, clock: Clock, progress: Progress
) -> Summary:
    """Write what the hub holds; it stays as it is, but for the attempts of its activities.

    Args:
        hub: Open as that host.
        info: Of the hub.
        host: Owns all partitions from here until it closes the hub.
        file: Does not exist yet.
        clock: Tells when it was.
        progress: Told after each instance.

    Raises:
        UserError: A host runs on the hub, or the file cannot be written.
        StorageUnavailable: The store does not answer; there is no file.
    """
    contents.refuse_weak(info)
    await refuse_unfinished(hub, info)
    await contents.refuse_company(hub, info, host)
    leases = await contents.own(hub, info)
    pending = await contents.pending(hub, leases)
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
        async for state in contents.instances(hub):
            await _write_instance(hub, state.instance_id, pending, writer)
            progress(writer.counts.instances, total)
        for instance_id in pending:
            # Only entities get mail before they exist; the rest was meant for what is gone.
            if instance_id.startswith("@") and (line := await pending.take(instance_id)):
                writer.write(PendingLine(instance_id=line.instance_id, mail=line.mail))
        await contents.refuse_company(hub, info, host)
        if writer.counts.instances != total:
            raise UserError(
                "Something was started or deleted during the export. Make sure that no host and no "
                "client uses the task hub, and repeat it."
            )
    return writer.counts


async def _write_instance(
    hub: TaskHub, instance_id: str, pending: contents.Pending, writer: HubFileWriter
) -> None:
    loaded = await hub.load(instance_id)
    if loaded is None:
        raise InternalError(f"instance {instance_id} went away while nobody else was there")
    writer.write(InstanceLine(state=loaded.state))
    events, more = loaded.history, loaded.more
    while events:
        writer.write(EventsLine(events=list(events)))
        if more is None:
            break
        page = await hub.read_history(instance_id, more)
        events, more = page.events, page.next
    line = await pending.take(instance_id)
    if line is not None:
        # Reading them has counted a run that never was.
        calls = [replace(call, attempt=call.attempt - 1) for call in line.activities]
        writer.write(replace(line, activities=calls))

"""Moves the task hub of an app into a file, and from a file."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from func_py.clock import RealClock
from func_py.config.settings import HostConfig
from func_py.durable.moving import (
    HubFile,
    Summary,
    export_hub,
    import_hub,
    new_host,
    refuse_full,
)
from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub, Unseen
from func_py.errors import FuncPyError, TaskHubNotFound
from func_py.hub_client.commands import Voice
from func_py.hub_client.configured import configured_hub
from func_py.hub_client.place import HubPlace, hub_config
from func_py.hub_client.replays import Replays, load_replays

_PROGRESS_S = 2.0


def export_to(place: HubPlace, path: Path, voice: Voice) -> None:
    """Write the hub into a file.

    Raises:
        TaskHubNotFound: There is none.
        UserError: A host has it open, or the file cannot be written.
        StorageUnavailable: The store does not answer.
    """
    config = hub_config(place, voice)
    counts = asyncio.run(_export(config, HubFile(path), voice))
    voice.tell(f"Exported task hub '{config.durable.hub_name}' to {path}: {counts}.")


def import_from(place: HubPlace, path: Path, voice: Voice, app: Path | None = None) -> None:
    """Make the hub from a file: whole, or not at all.

    Args:
        place: The hub; it does not exist, or is empty.
        path: The file.
        voice: Told what happens.
        app: Root of the app whose orchestrators are replayed on what was imported.

    Raises:
        UserError: The file is damaged, the hub is not empty, a host has it open, or replays go
            another way than the histories; in that last case the hub was imported all the same.
        StorageUnavailable: The store does not answer.
    """
    config = hub_config(place, voice)
    file = HubFile(path.resolve())
    hub = configured_hub(config)
    file.check()
    # When all of ours is imported: the app's modules come first from here on.
    replays = None if app is None else load_replays(app.resolve())
    asyncio.run(_import(config, hub, file, voice, replays))


async def _export(config: HostConfig, file: HubFile, voice: Voice) -> Summary:
    hub = configured_hub(config)
    clock = RealClock()
    host = new_host(clock.now())
    try:
        info = await hub.open(host)
        return await export_hub(
            hub, info, host, file, clock, _progress(voice, "exported"), _waiting(voice)
        )
    finally:
        await hub.close()


async def _import(
    config: HostConfig, hub: TaskHub, file: HubFile, voice: Voice, replays: Replays | None
) -> None:
    host = new_host(RealClock().now())
    is_imported = False
    try:
        hub, info = await _open_or_create(config, hub, host)
        await refuse_full(hub, info, host)
        try:
            counts = await import_hub(hub, info, host, file, _progress(voice, "imported"))
            is_imported = True
        finally:
            if not is_imported:
                await hub.close()
                # What cannot be deleted now is marked, and refused by whoever opens it.
                with contextlib.suppress(FuncPyError):
                    await configured_hub(config).delete_hub()
        voice.tell(f"Imported {file.path} into task hub '{info.name}', and compared: {counts}.")
        if replays is not None:
            await replays.run(hub, voice)
    finally:
        await hub.close()


async def _open_or_create(
    config: HostConfig, hub: TaskHub, host: HostRecord
) -> tuple[TaskHub, HubInfo]:
    try:
        return hub, await hub.open(host)
    except TaskHubNotFound:
        await hub.close()
    hub = configured_hub(config)
    await hub.create_hub()
    return hub, await hub.open(host)


def _waiting(voice: Voice) -> Callable[[Unseen], None]:
    """Says what is waited for."""

    def waiting(unseen: Unseen) -> None:
        voice.remark(
            f"{unseen.count} messages are hidden in the queues: timers, or what a host that was "
            f"killed had in its hands. Looking again for {unseen.within.total_seconds():g} s."
        )

    return waiting


def _progress(voice: Voice, what: str) -> Callable[[int, int], None]:
    """Says now and then how far it is."""
    next_at: float | None = None

    def progress(done: int, total: int) -> None:
        nonlocal next_at
        now = time.monotonic()
        if next_at is None:
            next_at = now + _PROGRESS_S
        elif now >= next_at:
            next_at = now + _PROGRESS_S
            voice.remark(f"{done} of {total} instances {what}")

    return progress

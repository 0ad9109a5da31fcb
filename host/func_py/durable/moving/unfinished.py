"""The mark of a hub that holds only a part of what was to be imported."""

from __future__ import annotations

from func_py.durable.storage.base import HubInfo, TaskHub
from func_py.errors import ImportUnfinished

KEY = "func-py/import"


async def mark(hub: TaskHub, file_name: str) -> None:
    """No host is to run on this hub."""
    await hub.write_record(KEY, file_name, 0)


async def unmark(hub: TaskHub) -> None:
    """It is whole."""
    record = await hub.read_record(KEY)
    if record is not None:
        await hub.delete_record(KEY, record.version)


async def refuse_unfinished(hub: TaskHub, info: HubInfo) -> None:
    """Raises ImportUnfinished when the hub is marked."""
    record = await hub.read_record(KEY)
    if record is not None:
        raise ImportUnfinished(info.location, record.value)

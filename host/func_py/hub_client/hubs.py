"""Task hubs as wholes: which there are, and what is in them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from func_py.clock import RealClock
from func_py.config.provider_choice import EMBEDDED, choose_provider
from func_py.config.settings import HostConfig
from func_py.durable.model import RuntimeStatus
from func_py.durable.storage.base import InstanceQuery, TaskHub
from func_py.durable.storage.registry import known_providers
from func_py.errors import SchemaMismatch, TaskHubNotFound
from func_py.hub_client.commands import Voice
from func_py.hub_client.configured import configured_hub
from func_py.hub_client.place import HubPlace, hub_config, silent_record

UNFINISHED = frozenset(status for status in RuntimeStatus if not status.is_terminal)
MOST_COUNTED = 1000
"""Instances are not counted beyond this: it would take a walk through all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLine:
    """One task hub. `problem`: why nobody can look into it, or empty."""

    name: str
    provider: str
    location: str
    unfinished: int = 0
    """Orchestrations; `MOST_COUNTED` means at least that many."""
    hosts: int = 0
    """Hosts with durable functions that run on it now."""
    is_configured: bool = False
    """Whether it is the one that host.json names."""
    problem: str = ""


def list_hubs(place: HubPlace, voice: Voice) -> list[HubLine]:
    """The hub that the app names, if it exists, and beside an embedded one those in its folder.

    Raises:
        UserError: The configuration cannot be used.
        StorageUnavailable: The store does not answer.
    """
    config = hub_config(place, voice)
    provider = choose_provider(config.durable.storage_provider, known_providers())
    names = {config.durable.hub_name}
    if provider == EMBEDDED:
        names.update(file.stem for file in config.state_dir.glob("*.db"))
    lines = (asyncio.run(_line(config, name, provider)) for name in sorted(names))
    return [line for line in lines if line is not None]


async def count_unfinished(hub: TaskHub) -> int:
    """How many orchestrations of an open hub have not ended; `MOST_COUNTED` at most."""
    query = InstanceQuery(statuses=UNFINISHED, page_size=MOST_COUNTED, inputs=False, outputs=False)
    return len((await hub.query_instances(query)).items)


async def _line(config: HostConfig, name: str, provider: str) -> HubLine | None:
    durable = msgspec.structs.replace(config.durable, hub_name=name)
    is_configured = name == config.durable.hub_name
    hub = configured_hub(msgspec.structs.replace(config, durable=durable))
    try:
        info = await hub.open(silent_record(RealClock()))
        hosts = sum(bool(host.functions) for host in await hub.hosts())
        return HubLine(
            name=info.name,
            provider=info.provider,
            location=info.location,
            unfinished=await count_unfinished(hub),
            hosts=hosts,
            is_configured=is_configured,
        )
    except TaskHubNotFound:
        return None
    except SchemaMismatch as error:
        return HubLine(
            name=name,
            provider=provider,
            location=error.location,
            is_configured=is_configured,
            problem=str(error),
        )
    finally:
        await hub.close()

"""Opens the task hub of an app that is not loaded, and closes it after one command.

It becomes one of the hub's hosts, but has no function and owns nothing: what it sends is picked up
by the hosts that run, or by the next one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from func_py.clock import Clock, RealClock
from func_py.config.host_json import load_host_config
from func_py.config.local_settings import app_environment, settings_for
from func_py.config.provider_choice import AZURE_STORAGE, EMBEDDED, choose_provider
from func_py.config.settings import HostConfig
from func_py.durable.model import new_id
from func_py.durable.moving import refuse_unfinished
from func_py.durable.storage.base import HostRecord
from func_py.durable.storage.registry import known_providers
from func_py.errors import ConfigError, SchemaMismatch, TaskHubNotFound, UserError
from func_py.hub_client.commands import HubCommands, Voice
from func_py.hub_client.configured import (
    configured_client,
    configured_hub,
    hand_dir,
    sockets_dir,
)
from func_py.management.why import Explainer, OtherHosts

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPlace:
    """Which task hub. What is empty is taken from the app's host.json."""

    app_root: Path = Path()
    task_hub: str = ""
    connection_setting: str = ""
    """Name of the app setting with the connection string."""


def run(
    place: HubPlace,
    command: Callable[[HubCommands], Awaitable[T]],
    voice: Voice,
    *,
    create: bool = False,
) -> T:
    """Run one command against the hub.

    Args:
        place: The hub.
        command: What to do while it is open.
        voice: Receives texts for people.
        create: Make the hub when there is none.

    Raises:
        UserError: The configuration cannot be used, or the command cannot be carried out.
        DurableError: The hub does not exist (TaskHubNotFound) or does not fit (SchemaMismatch).
        StorageUnavailable: The store does not answer.
    """
    config = hub_config(place, voice)

    async def run_open() -> T:
        async with opened(config, RealClock(), voice, create=create) as commands:
            return await command(commands)

    return asyncio.run(run_open())


def delete_hub(place: HubPlace, voice: Voice) -> str:
    """Delete the hub with all its instances.

    Returns:
        Its name.

    Raises:
        TaskHubNotFound: There is none.
        UserError: A host has it open.
    """
    config = hub_config(place, voice)
    asyncio.run(_delete(config))
    return config.durable.hub_name


def make_hub(place: HubPlace, voice: Voice) -> None:
    """Create the hub unless it exists."""
    asyncio.run(_create(hub_config(place, voice)))


async def _create(config: HostConfig) -> None:
    hub = configured_hub(config)
    try:
        await hub.create_hub()
    finally:
        await hub.close()


async def _delete(config: HostConfig) -> None:
    hub = configured_hub(config)
    try:
        # Providers delete in silence what is not there; a misspelt name is to be noticed.
        await hub.open(silent_record(RealClock()))
    except (SchemaMismatch, ConfigError):
        pass  # It is there, and need not fit to be deleted.
    finally:
        await hub.close()
    await configured_hub(config).delete_hub()
    # It would count against instances of the same names in a new hub.
    shutil.rmtree(hand_dir(config), ignore_errors=True)
    shutil.rmtree(sockets_dir(config), ignore_errors=True)


def hub_config(place: HubPlace, voice: Voice) -> HostConfig:
    """The configuration as a host at that place would have it, with the place's own words in it."""
    root = place.app_root.resolve()
    if not root.is_dir():
        raise UserError(f'"{place.app_root}" doesn\'t exist, or is not a folder.')
    environ, _ = app_environment(settings_for(root, os.environ), os.environ, root, port=0)
    config = load_host_config(root, environ)
    if place.task_hub:
        durable = msgspec.structs.replace(config.durable, hub_name=place.task_hub)
        config = msgspec.structs.replace(config, durable=durable)
    if place.connection_setting:
        provider = choose_provider(config.durable.storage_provider, known_providers())
        if provider == EMBEDDED:
            voice.remark(
                "The embedded task hub has no connection: --connection-string-setting is ignored."
            )
        else:
            key = "connectionName" if provider == AZURE_STORAGE else "connectionStringName"
            options = {**config.storage_options, key: place.connection_setting}
            config = msgspec.structs.replace(config, storage_options=options)
    return config


@asynccontextmanager
async def opened(
    config: HostConfig, clock: Clock, voice: Voice, *, create: bool
) -> AsyncIterator[HubCommands]:
    """The commands of a hub that is open while entered."""
    hub = configured_hub(config)
    record = silent_record(clock)
    try:
        try:
            info = await hub.open(record)
        except TaskHubNotFound:
            if not create:
                raise
            await hub.close()
            hub = configured_hub(config)
            await hub.create_hub()
            info = await hub.open(record)
        await refuse_unfinished(hub, info)
        others = OtherHosts(await hub.hosts())
        client = configured_client(
            config,
            hub,
            clock,
            missing=lambda name: others.missing("orchestrator", name),
            missing_entity=lambda name: others.missing("entity", name),
        )
        explainer = Explainer(client, hub, sockets_dir(config), clock)
        yield HubCommands(client, info, others, clock, voice, explainer)
    finally:
        await hub.close()


def silent_record(clock: Clock) -> HostRecord:
    """The record of somebody who looks at a hub, and runs nothing on it."""
    return HostRecord(host_id=new_id(), started_at=clock.now())

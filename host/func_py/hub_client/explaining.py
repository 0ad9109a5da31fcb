"""Says why an instance of a hub has not ended, with the app at hand or without."""

from __future__ import annotations

import asyncio
from pathlib import Path

from func_py.clock import RealClock
from func_py.hub_client.commands import Voice
from func_py.hub_client.configured import configured_hub
from func_py.hub_client.place import HubPlace, hub_config, opened
from func_py.hub_client.replays import load_orchestrators
from func_py.management.why import Explanation


def explain(
    place: HubPlace, instance_id: str, voice: Voice, app: Path | None = None
) -> Explanation:
    """Why an instance has not ended, or what an entity does.

    Args:
        place: The hub.
        instance_id: The instance.
        voice: Receives texts for people.
        app: Root of an app that is loaded to replay the instance, where no host can be asked.

    Raises:
        UserError: The configuration or the app cannot be used, or there is no such instance.
        DurableError: The hub does not exist (TaskHubNotFound) or does not fit (SchemaMismatch).
        StorageUnavailable: The store does not answer.
    """
    config = hub_config(place, voice)
    orchestrators = None
    if app is not None:
        # Imports the provider: from here on the app's modules come first.
        configured_hub(config)
        orchestrators = load_orchestrators(app.resolve())

    async def ask() -> Explanation:
        async with opened(config, RealClock(), voice, create=False) as hub:
            return await hub.why(instance_id, orchestrators)

    return asyncio.run(ask())

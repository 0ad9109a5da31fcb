"""Makes, from the configuration, what works on the app's task hub. The only place that does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from func_py.clock import Clock
from func_py.config.provider_choice import choose_provider
from func_py.config.settings import HostConfig
from func_py.durable.client import DurableClient
from func_py.durable.storage.base import REUSE_ANY, REUSE_FINISHED, TaskHub
from func_py.durable.storage.registry import HubSettings, find_provider, known_providers
from func_py.errors import FunctionNotRegistered

Missing = Callable[[str], FunctionNotRegistered | None]
"""The error when nobody has a function of this name, or None."""


def configured_hub(config: HostConfig) -> TaskHub:
    """The task hub, neither created nor open.

    Raises:
        ConfigError: The provider cannot be had, or its settings cannot be used.
    """
    storage = config.durable.storage_provider
    settings = HubSettings(
        hub=config.durable.hub_name,
        state_dir=config.state_dir,
        partition_count=storage.partition_count,
        payload_limit=config.func_py.payload_limit,
        uses_app_lease=config.durable.use_app_lease,
        options=config.storage_options,
        app_settings=config.app_settings,
    )
    return find_provider(choose_provider(storage, known_providers())).create_task_hub(settings)


def configured_client(
    config: HostConfig, hub: TaskHub, clock: Clock, *, missing: Missing, missing_entity: Missing
) -> DurableClient:
    """A client of the hub."""
    durable = config.durable
    return DurableClient(
        hub,
        clock,
        missing=missing,
        missing_entity=missing_entity,
        reusable=REUSE_ANY
        if durable.overridable_existing_instance_states == "AnyState"
        else REUSE_FINISHED,
        default_version=durable.default_version or None,
    )


def sockets_dir(config: HostConfig) -> Path:
    """Where the hosts of this machine answer questions about the hub; may not exist."""
    return config.state_dir / f"{config.durable.hub_name}.why"


def hand_dir(config: HostConfig) -> Path:
    """Where the hosts of this machine note the hub's work in hand; may not exist."""
    return config.state_dir / f"{config.durable.hub_name}.hand"

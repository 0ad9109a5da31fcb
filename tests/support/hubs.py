"""Task hubs for tests of what is built above the storage contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.registry import HubSettings, find_provider

HubFactory = Callable[[], TaskHub]
"""Each call gives another view of the same task hub, as another process would have it."""


def sqlite_hub(directory: Path, name: str = "TestHub") -> TaskHub:
    """A hub in a file of this directory, neither created nor open."""
    settings = HubSettings(hub=name, state_dir=directory)
    return find_provider("sqlite").create_task_hub(settings)

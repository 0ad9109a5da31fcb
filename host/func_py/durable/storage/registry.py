"""Finds storage providers by the name that host.json's `storageProvider.type` gives.

Providers register in the entry-point group `func_py.storage`, ours included, so that a package of
somebody else can add one. A provider is imported only when it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, cast

from func_py.durable.storage.base import TaskHub
from func_py.errors import ConfigError

GROUP = "func_py.storage"

DEFAULT_PARTITION_COUNT = 4

DEFAULT_PAYLOAD_LIMIT = 64 * 1024
"""Characters. A smaller payload costs less in memory than reading it once more costs in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """What a provider is told about the task hub to work with."""

    hub: str
    state_dir: Path
    """Where an embedded provider keeps its files; made when it does not exist."""
    partition_count: int = DEFAULT_PARTITION_COUNT
    payload_limit: int = DEFAULT_PAYLOAD_LIMIT
    """Longer inputs and results wait in the store alone, where the provider can do that."""
    uses_app_lease: bool = True
    """Only the hosts of one app may work on the hub, where the provider knows of apps."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The rest of host.json's `storageProvider`, app settings resolved; each provider its own."""
    app_settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where connection strings are, under the names that the options give."""


class Provider(Protocol):
    """Makes task hubs of one kind. Registered as a class without arguments."""

    def create_task_hub(self, settings: HubSettings) -> TaskHub:
        """A hub that is neither created nor open yet; raises ConfigError for unusable settings."""
        ...


def known_providers() -> list[str]:
    """Names of the installed providers."""
    return sorted({point.name for point in entry_points(group=GROUP)}, key=str.casefold)


def find_provider(name: str) -> Provider:
    """The provider of this name, in any case of letters.

    Raises:
        ConfigError: No such provider is installed (the known ones are listed), or it cannot be
            imported, for example because its driver is missing.
    """
    point = _find(name)
    if point is None:
        raise _problem(f"'{name}' is not known", f"Known: {', '.join(known_providers())}.")
    try:
        provider = point.load()()
    except ImportError as error:
        hint = f"Install what it needs: pip install 'func-py[{point.name}]'."
        raise _problem(f"'{name}' cannot be loaded: {error}", hint) from error
    # Entry points carry no type; that it fits is the promise of whoever registered it.
    return cast("Provider", provider)


def _find(name: str) -> EntryPoint | None:
    wanted = name.casefold()
    for point in entry_points(group=GROUP):
        if point.name.casefold() == wanted:
            return point
    return None


def _problem(problem: str, hint: str) -> ConfigError:
    return ConfigError("host.json", "extensions.durableTask.storageProvider.type", problem, hint)

"""Which storage provider host.json asks for: never silently another one."""

from __future__ import annotations

from collections.abc import Collection

from func_py.config.settings import StorageProviderSettings
from func_py.errors import ConfigError

EMBEDDED = "sqlite"
AZURE_STORAGE = "AzureStorage"

_KEY = "extensions.durableTask.storageProvider"
_OVERRIDE = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__type=sqlite"


def choose_provider(settings: StorageProviderSettings, available: Collection[str]) -> str:
    """The name of the provider to use, spelled as in `available`.

    Args:
        settings: The section of host.json.
        available: Names of the providers that can be had.

    Raises:
        ConfigError: The one asked for cannot be had; says how to run on the embedded hub instead.
    """
    wanted = settings.type or (AZURE_STORAGE if settings.connection_name else EMBEDDED)
    for name in available:
        if name.casefold() == wanted.casefold():
            return name
    key = f"{_KEY}.type" if settings.type else f"{_KEY}.connectionName"
    reason = (
        f"the storage provider '{wanted}' is not available"
        if settings.type
        else f"a connection name without a type means '{wanted}', which is not available"
    )
    raise ConfigError(
        "host.json",
        key,
        f"{reason}; known are: {', '.join(sorted(available))}",
        f"To run on the embedded task hub, set {_OVERRIDE}",
    )

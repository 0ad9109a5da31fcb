"""What host.json says about a hub on a server, whichever server that is."""

from __future__ import annotations

from func_py.config.app_settings import find_setting
from func_py.durable.storage.registry import HubSettings
from func_py.errors import ConfigError

SECTION = "extensions.durableTask.storageProvider"


def connection_text(settings: HubSettings, example: str) -> tuple[str, str]:
    """The app setting that `connectionStringName` names, and the text in it.

    Args:
        settings: Of the hub.
        example: A connection string, shown when there is none.

    Raises:
        ConfigError: The name is missing, or nothing has that name.
    """
    name = str(settings.options.get("connectionStringName") or "")
    where = ("host.json", f"{SECTION}.connectionStringName")
    if not name:
        raise ConfigError(
            *where,
            "is missing",
            "Set it to the name of the app setting that holds the connection string.",
        )
    text = find_setting(name, settings.app_settings)
    if not text:
        raise ConfigError(
            *where,
            f"names the app setting '{name}', which is not set",
            f'For example: "{name}": "{example}"',
        )
    return name, text

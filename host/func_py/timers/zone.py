"""The time zone of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from func_py.errors import ConfigError

_SETTINGS = ("WEBSITE_TIME_ZONE", "TZ")
_MACHINE = Path("/etc/localtime")


def schedule_zone(environ: Mapping[str, str], machine: Path = _MACHINE) -> tzinfo:
    """The zone that a setting names, or else the machine's.

    Args:
        environ: App settings; `WEBSITE_TIME_ZONE` wins over `TZ`.
        machine: The file with the machine's zone; UTC where there is none.

    Raises:
        ConfigError: The setting names no zone that is known here.
    """
    for setting in _SETTINGS:
        name = environ.get(setting, "").removeprefix(":")
        if name:
            return _named(setting, name)
    if not machine.is_file():
        return UTC
    with machine.open("rb") as file:
        return ZoneInfo.from_file(file, key="local")


def _named(setting: str, name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as exc:
        raise ConfigError(
            setting,
            "",
            f"'{name}' is no time zone that this machine knows",
            "Use a name such as Europe/Berlin. Where the system has no time zone data: "
            "pip install tzdata.",
        ) from exc

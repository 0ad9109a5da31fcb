"""The setting that says how soon others take over from a host that gives no sign of life."""

from __future__ import annotations

from datetime import timedelta

from func_py.config.timespan import format_timespan, parse_timespan
from func_py.durable.storage.registry import HubSettings
from func_py.errors import ConfigError

SHORTEST = timedelta(seconds=1)
"""A host that is busy, or a network that stumbles, may be silent that long."""
LONGEST = timedelta(hours=1)

_KEY = "extensions.durableTask.storageProvider.leaseTime"


def lease_time(settings: HubSettings, default: timedelta) -> timedelta:
    """What `leaseTime` says. It is this host's own: others go by what it tells them.

    Raises:
        ConfigError: It is no time span, or one of no use.
    """
    text = settings.options.get("leaseTime")
    if text is None:
        return default
    try:
        lease = parse_timespan(text)
    except ValueError as error:
        raise ConfigError("host.json", _KEY, f"is {text!r}", str(error)) from error
    if not SHORTEST <= lease <= LONGEST:
        raise ConfigError(
            "host.json",
            _KEY,
            f"is {text!r}",
            f"Expected {format_timespan(SHORTEST)} to {format_timespan(LONGEST)}; "
            f"the default is {format_timespan(default)}",
        )
    return lease

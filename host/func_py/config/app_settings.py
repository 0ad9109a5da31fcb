"""App settings by name, and the `%NAME%` form that refers to them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from func_py.errors import ConfigError

_SEPARATOR = re.compile("__|:")
_REFERENCE = re.compile(r"%([^%]*)%")


def find_setting(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of an app setting: names match in any case, and `A:B` is `A__B`."""
    if name in environ:
        return environ[name]
    wanted = _canonical(name)
    return next((value for key, value in environ.items() if _canonical(key) == wanted), None)


def find_connection(name: str, environ: Mapping[str, str]) -> str | dict[str, str] | None:
    """What a binding's or provider's `connection` refers to.

    Args:
        name: The connection's name, without its prefixes.
        environ: The app settings.

    Returns:
        A connection string; or, for a connection by identity, the settings `<name>__<key>` as
        key → value (`serviceUri`, `accountName`, …), keys as they are spelled; None when there is
        neither.
    """
    candidates = (f"ConnectionStrings:{name}", f"AzureWebJobs{name}", name)
    for candidate in candidates:
        value = find_setting(candidate, environ)
        if value:
            return value
    for candidate in candidates:
        section = _section(candidate, environ)
        if section:
            return section
    return None


def is_disabled(function: str, environ: Mapping[str, str], *, declared: bool) -> bool:
    """Whether a function is switched off.

    Args:
        function: Its name.
        environ: The app settings; `AzureWebJobs.<name>.Disabled` wins, in either spelling.
        declared: What the app itself says.
    """
    for name in (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled"):
        value = find_setting(name, environ)
        if value:
            return value.strip().casefold() in ("true", "1")
    return declared


def resolve_names(text: str, environ: Mapping[str, str], file: str, path: str) -> str:
    """Replace every `%NAME%` in a text by that app setting.

    Raises:
        ConfigError: A setting does not exist, or a `%` has no partner; names `file` and `path`.
    """

    def value_of(match: re.Match[str]) -> str:
        value = find_setting(match[1], environ)
        if value is None:
            raise ConfigError(file, path, f"'{match[0]}' does not resolve to a value.")
        return value

    if text.count("%") % 2:
        position = text.rindex("%")
        raise ConfigError(
            file, path, f"The '%' at position {position} does not have a closing '%'."
        )
    return _REFERENCE.sub(value_of, text)


def _section(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    wanted = _canonical(name).split(":")
    found = {}
    for key, value in environ.items():
        steps = _SEPARATOR.split(key)
        if [step.casefold() for step in steps[:-1]] == wanted:
            found[steps[-1]] = value
    return found


def _canonical(name: str) -> str:
    return _SEPARATOR.sub(":", name).casefold()

"""local.settings.json and the environment the app sees. Imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from func_py.config.jsonc import JsonValue, read_json_object
from func_py.config.secret_files import secret_settings
from func_py.errors import ConfigError

FILE_NAME = "local.settings.json"

_ENVIRONMENT = "AZURE_FUNCTIONS_ENVIRONMENT"
_DEVELOPMENT = "Development"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """What local.settings.json says. A missing file says nothing."""

    values: Mapping[str, str] = field(default_factory=dict)
    """App settings; a connection string is there as `ConnectionStrings:<name>`."""
    port: int | None = None
    address: str | None = None
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the host; `*` is any."""
    cors_credentials: bool = False
    notices: tuple[str, ...] = ()
    """Entries that were left out, and why; one line each."""


def load_local_settings(root: Path) -> LocalSettings:
    """Read `local.settings.json` of an app root.

    Raises:
        ConfigError: The file is not JSON, is encrypted, or a section has the wrong type.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return LocalSettings()
    content = read_json_object(path, FILE_NAME)
    if content.get("IsEncrypted") is True:
        raise ConfigError(
            FILE_NAME,
            "IsEncrypted",
            "encrypted settings cannot be read",
            "Decrypt the file with `func settings decrypt`, where it was encrypted.",
        )
    notices: list[str] = []
    values: dict[str, str] = {}
    for key, value in _section(content, "Values").items():
        if not key:
            notices.append("Skipping local setting with empty key.")
        elif value is None:
            notices.append(f"Skipping '{key}' because value is null.")
        elif isinstance(value, (dict, list)):
            notices.append(f"Skipping '{key}' because its value is not text.")
        else:
            values[key] = _text(value)
    for name, entry in _section(content, "ConnectionStrings").items():
        value = entry.get("ConnectionString") if isinstance(entry, dict) else entry
        if isinstance(value, str):
            values[f"ConnectionStrings:{name}"] = value
        else:
            notices.append(f"Skipping connection string '{name}' because its value is not text.")
    host = _section(content, "Host")
    return LocalSettings(
        values=values,
        port=_port(host.get("LocalHttpPort")),
        address=_address(host.get("LocalHttpAddress")),
        cors=split_origins(_text_of(host, "CORS")),
        cors_credentials=_text_of(host, "CORSCredentials").casefold() == "true",
        notices=tuple(notices),
    )


def settings_for(root: Path, environ: Mapping[str, str]) -> LocalSettings:
    """What a host in this environment adds to it: secrets in files, and local settings.

    Secrets win. In production local.settings.json is not read: it belongs to the machine where the
    app was written.

    Raises:
        ConfigError: A file cannot be used.
    """
    settings = LocalSettings() if is_production(environ) else load_local_settings(root)
    return replace(settings, values={**settings.values, **secret_settings(environ)})


def app_environment(
    settings: LocalSettings, environ: Mapping[str, str], root: Path, port: int
) -> tuple[dict[str, str], list[str]]:
    """The environment of the app, and a notice for each setting that did not get in.

    Strongest first: a non-empty variable of `environ`, a value of local.settings.json, what a
    local host adds by itself.
    """
    merged = dict(environ)
    notices = list(settings.notices)
    for key, value in settings.values.items():
        if environ.get(key):
            if environ[key] != value:
                notices.append(
                    f"Skipping '{key}' from local settings as it's already defined in current "
                    "environment variables."
                )
        else:
            merged[key] = value
    configured = settings.values.get(_ENVIRONMENT, _DEVELOPMENT)
    if merged.get(_ENVIRONMENT) != environ.get(_ENVIRONMENT) and configured != _DEVELOPMENT:
        # Only a real environment says that this is no developer's machine.
        merged[_ENVIRONMENT] = _DEVELOPMENT
        notices.append(
            f"{_ENVIRONMENT} already exists with value '{configured}' in local settings, "
            f"overriding to '{_DEVELOPMENT}'."
        )
    runtime = merged.get("FUNCTIONS_WORKER_RUNTIME")
    if runtime and runtime.casefold() != "python":
        notices.append(f"FUNCTIONS_WORKER_RUNTIME is '{runtime}'; this host runs Python apps.")
    added = {
        _ENVIRONMENT: _DEVELOPMENT,
        "AzureWebJobsScriptRoot": str(root),
        "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_HOSTNAME": f"localhost:{port}",
    }
    for key, value in added.items():
        if not merged.get(key):
            merged[key] = value
    return merged, notices


def is_development(environ: Mapping[str, str]) -> bool:
    """Whether an app's environment says that this is a developer's machine."""
    return environ.get(_ENVIRONMENT, "").casefold() == _DEVELOPMENT.casefold()


def is_production(environ: Mapping[str, str]) -> bool:
    """Whether the real environment says that this is no developer's machine."""
    return bool(environ.get(_ENVIRONMENT)) and not is_development(environ)


def split_origins(text: str) -> tuple[str, ...]:
    """The origins of a comma separated list, without the slash that none of them ends with."""
    return tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())


def _section(content: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = content.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(FILE_NAME, name, "expected an object")
    return value


def _text_of(host: Mapping[str, JsonValue], key: str) -> str:
    value = host.get(key)
    if isinstance(value, (dict, list)):
        raise ConfigError(FILE_NAME, f"Host.{key}", "expected text")
    return "" if value is None else _text(value)


def _text(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _port(value: JsonValue) -> int | None:
    if value is None:
        return None
    try:
        port = int(value) if isinstance(value, (int, str)) else -1
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise ConfigError(FILE_NAME, "Host.LocalHttpPort", f"expected a port, found {value!r}")
    return port


def _address(value: JsonValue) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(
            FILE_NAME, "Host.LocalHttpAddress", f"expected an address, found {value!r}"
        )
    return value or None

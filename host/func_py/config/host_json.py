"""Load host.json with the environment's overrides into a `HostConfig`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec

from func_py.config.app_settings import resolve_names
from func_py.config.jsonc import JsonValue, read_json_object
from func_py.config.known_keys import normalise, storage_options
from func_py.config.overrides import apply_overrides
from func_py.config.settings import (
    LOG_LEVELS,
    HostConfig,
    HostFile,
    QueueSettings,
    RetrySettings,
)
from func_py.config.state_dir import state_dir
from func_py.config.timespan import TimeSpan, parse_timespan
from func_py.errors import ConfigError

FILE_NAME = "host.json"

_DEFAULT_TIMEOUT = timedelta(minutes=30)
_HUB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")
_MSGSPEC_PATH = re.compile(r"(?P<problem>.*) - at `(?:key in )?\$\.?(?P<path>.*)`", re.DOTALL)
_PATH_STEP = re.compile(r"([^.\[\]]+)")


def load_host_config(root: Path, environ: Mapping[str, str]) -> HostConfig:
    """Read and check `host.json` of an app root.

    Args:
        root: The app root, absolute.
        environ: The app's environment, local settings merged in.

    Raises:
        ConfigError: The file is missing or not usable; names the key and what is wrong with it.
    """
    path = root / FILE_NAME
    if not path.is_file():
        raise ConfigError(
            FILE_NAME,
            "",
            f"not found in {root}",
            'A function app needs one; the smallest is {"version": "2.0"}.',
        )
    tree = read_json_object(path, FILE_NAME)
    overridden = apply_overrides(tree, environ)
    tree, warnings = normalise(tree)
    extensions = tree.get("extensions")
    if isinstance(extensions, dict):
        for section in ("durableTask", "funcPy"):
            if section in extensions:
                at = f"extensions.{section}"
                extensions[section] = _resolve(extensions[section], environ, at)
    host_file = _convert(tree, overridden)
    _check_version(host_file.version)
    _check_log_levels(host_file.logging.log_level)
    _check_headers(host_file.extensions.http.custom_headers)
    _check_retry(host_file.retry)
    _check_queues(host_file.extensions.queues)
    durable = host_file.extensions.durable_task
    return HostConfig(
        root=root,
        state_dir=state_dir(root, durable.storage_provider.path, environ),
        http=host_file.extensions.http,
        durable=msgspec.structs.replace(durable, hub_name=_hub_name(durable.hub_name, environ)),
        storage_options=storage_options(tree),
        app_settings=environ,
        func_py=host_file.extensions.func_py,
        queues=host_file.extensions.queues,
        blobs=host_file.extensions.blobs,
        logging=host_file.logging,
        function_timeout=_function_timeout(host_file.function_timeout),
        retry=host_file.retry,
        functions=host_file.functions,
        file_watching_enabled=host_file.file_watching_enabled,
        watch_directories=host_file.watch_directories,
        watch_files=host_file.watch_files,
        telemetry_mode=host_file.telemetry_mode,
        warnings=tuple(warnings),
    )


def _convert(tree: dict[str, JsonValue], overridden: Mapping[str, str]) -> HostFile:
    def decode(kind: type, value: object) -> object:
        if kind is TimeSpan:
            return parse_timespan(value)
        raise NotImplementedError

    try:
        # Not strict: the official host reads "10" as a number and "true" as a truth value, and
        # every override from the environment is text.
        return msgspec.convert(tree, HostFile, strict=False, dec_hook=decode)
    except msgspec.ValidationError as exc:
        match = _MSGSPEC_PATH.fullmatch(str(exc))
        problem, path = (match["problem"], match["path"]) if match else (str(exc), "")
        expected = problem.split(", got ")[0].replace("`", "").replace(" | null", "")
        found = json.dumps(_value_at(tree, path))
        variable = next((v for p, v in overridden.items() if p.casefold() == path.casefold()), None)
        where = (f"environment variable {variable}", "") if variable else (FILE_NAME, path)
        raise ConfigError(*where, f"{expected[:1].lower()}{expected[1:]}, found {found}") from exc


def _value_at(tree: JsonValue, path: str) -> JsonValue:
    node = tree
    for step in _PATH_STEP.findall(path):
        if isinstance(node, dict):
            node = node.get(step)
        elif isinstance(node, list) and step.isdigit():
            node = node[int(step)]
    return node


def _check_version(version: str) -> None:
    if not version:
        raise ConfigError(
            FILE_NAME, "", "is missing the required 'version' property", 'Add "version": "2.0".'
        )
    if version != "2.0":
        raise ConfigError(FILE_NAME, "version", f'expected "2.0", found {json.dumps(version)}')


def _check_log_levels(levels: Mapping[str, str]) -> None:
    for category, level in levels.items():
        if level.casefold() not in {known.casefold() for known in LOG_LEVELS}:
            raise ConfigError(
                FILE_NAME,
                f"logging.logLevel.{category}",
                f"expected one of {', '.join(LOG_LEVELS)}, found {json.dumps(level)}",
            )


def _function_timeout(configured: timedelta | None) -> timedelta | None:
    """The time an invocation gets: half an hour unless configured, -1 is for ever."""
    if configured is None:
        return _DEFAULT_TIMEOUT
    if configured == timedelta(days=-1):
        return None
    if configured < timedelta(seconds=1):
        raise ConfigError(
            FILE_NAME,
            "functionTimeout",
            'expected at least "00:00:01", or "-1" for no limit; found '
            f"a time span of {configured.total_seconds():g} s",
        )
    return configured


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(
                FILE_NAME,
                f"extensions.http.customHeaders.{name}",
                f"expected a header's name and value, found {json.dumps(value)}",
            )


def _check_retry(retry: RetrySettings | None) -> None:
    if retry is None:
        return
    if retry.strategy == "fixedDelay":
        needed = {"delayInterval": retry.delay_interval}
    else:
        needed = {
            "minimumInterval": retry.minimum_interval,
            "maximumInterval": retry.maximum_interval,
        }
    for key, interval in needed.items():
        if interval is None:
            raise ConfigError(FILE_NAME, "retry", f"'{retry.strategy}' needs '{key}'")
        if interval < timedelta():
            raise ConfigError(FILE_NAME, f"retry.{key}", "must not be negative")
    least, most = retry.minimum_interval, retry.maximum_interval
    if least is not None and most is not None and least > most:
        raise ConfigError(FILE_NAME, "retry", "'minimumInterval' exceeds 'maximumInterval'")


def _check_queues(queues: QueueSettings) -> None:
    path = "extensions.queues"
    if queues.message_encoding.lower() not in ("base64", "none"):
        found = json.dumps(queues.message_encoding)
        raise ConfigError(
            FILE_NAME, f"{path}.messageEncoding", f'expected "base64" or "none", found {found}'
        )
    shortest, longest = timedelta(milliseconds=100), timedelta(days=7)
    polling = queues.max_polling_interval
    if polling is not None and polling < shortest:
        raise ConfigError(FILE_NAME, f"{path}.maxPollingInterval", "must be at least 0.1 seconds")
    if not timedelta() <= queues.visibility_timeout <= longest:
        raise ConfigError(
            FILE_NAME, f"{path}.visibilityTimeout", "must be from 0 seconds to seven days"
        )


def _resolve(tree: JsonValue, environ: Mapping[str, str], path: str) -> JsonValue:
    """Replace `%NAME%` in every text of a section."""
    if isinstance(tree, str):
        return resolve_names(tree, environ, FILE_NAME, path)
    if isinstance(tree, dict):
        return {key: _resolve(value, environ, f"{path}.{key}") for key, value in tree.items()}
    if isinstance(tree, list):
        return [_resolve(value, environ, f"{path}[{i}]") for i, value in enumerate(tree)]
    return tree


def _hub_name(configured: str, environ: Mapping[str, str]) -> str:
    """The task hub's name; by default that of the site, as the official host makes it."""
    if configured:
        if not _HUB_NAME.fullmatch(configured):
            raise ConfigError(
                FILE_NAME,
                "extensions.durableTask.hubName",
                "expected a letter, then up to 49 letters, digits, - or _, "
                f"found {json.dumps(configured)}",
            )
        return configured
    site = environ.get("WEBSITE_SITE_NAME", "")
    site = "".join(char for char in site if char.isascii() and char.isalnum())
    return ("t" + site if site[:1].isdigit() else site)[:45] or "TestHubName"

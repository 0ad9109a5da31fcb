"""Where the host keeps its state. Imports only the standard library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from func_py.config.app_settings import resolve_names
from func_py.config.jsonc import JsonValue, read_json_object
from func_py.config.overrides import apply_overrides

VARIABLE = "FUNC_PY_STATE_DIR"
_DEFAULT = ".func-py"
_KEY = ("extensions", "durableTask", "storageProvider", "path")


def state_dir(root: Path, configured: str, environ: Mapping[str, str]) -> Path:
    """The state directory; it may not exist yet.

    Args:
        root: The app root, absolute.
        configured: host.json's `extensions.durableTask.storageProvider.path`, or an empty text.
        environ: Its `FUNC_PY_STATE_DIR` wins.
    """
    return root / (environ.get(VARIABLE) or configured or _DEFAULT)


def find_state_dir(root: Path, environ: Mapping[str, str]) -> Path:
    """The state directory of an app that is not loaded.

    Raises:
        ConfigError: host.json cannot be read. Without a host.json there is the default.
    """
    file = root / "host.json"
    tree = read_json_object(file, file.name) if file.is_file() else {}
    apply_overrides(tree, environ)
    configured: JsonValue = tree
    for step in _KEY:
        if not isinstance(configured, dict):
            break
        configured = next((v for k, v in configured.items() if k.casefold() == step.casefold()), "")
    path = configured if isinstance(configured, str) else ""
    return state_dir(root, resolve_names(path, environ, file.name, ".".join(_KEY)), environ)


def is_volatile(folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether the folder goes away together with the container that this process runs in.

    Args:
        folder: Absolute; need not exist.
        environ: Images and platforms say in it that this is a container.
    """
    return _is_in_container(environ) and not any(
        os.path.ismount(place) for place in (folder, *folder.parents[:-1])
    )


def _is_in_container(environ: Mapping[str, str]) -> bool:
    if environ.get("DOTNET_RUNNING_IN_CONTAINER", "").casefold() == "true":
        return True
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return "KUBERNETES_SERVICE_HOST" in environ or any(mark.exists() for mark in marks)

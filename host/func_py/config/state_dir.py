"""Where the host keeps its state. Imports only the standard library."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from func_py.config.app_settings import resolve_names
from func_py.config.jsonc import JsonValue, read_json_object
from func_py.config.overrides import apply_overrides

VARIABLE = "FUNC_PY_STATE_DIR"
_DEFAULT = ".func-py"
_MOUNTS = Path("/proc/self/mountinfo")
_UNNAMED = re.compile(r"/volumes/[0-9a-f]{64}(/_data)?\Z")
"""Where engines keep the volume of an image's VOLUME that nobody has given a name."""
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
    if not _is_in_container(environ):
        return False
    mounts = [place for place in (folder, *folder.parents[:-1]) if os.path.ismount(place)]
    table = _MOUNTS.read_text() if _MOUNTS.is_file() else ""
    return not mounts or mounts[0] in unnamed_volumes(table)


def unnamed_volumes(table: str) -> set[Path]:
    """Where volumes are mounted that the next container will not get.

    Args:
        table: What `/proc/self/mountinfo` says.
    """
    rows = [line.split() for line in table.splitlines()]
    # Of several mounts at one place the last one is seen.
    origins = {Path(place): origin for _, _, _, origin, place, *_ in rows}
    return {place for place, origin in origins.items() if _UNNAMED.search(origin)}


def _is_in_container(environ: Mapping[str, str]) -> bool:
    if environ.get("DOTNET_RUNNING_IN_CONTAINER", "").casefold() == "true":
        return True
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return "KUBERNETES_SERVICE_HOST" in environ or any(mark.exists() for mark in marks)

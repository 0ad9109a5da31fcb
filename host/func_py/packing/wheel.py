"""A wheel of the host that is running, so that a pack installs the version it was made with."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from func_py.errors import UserError

_NAME = "func_py"
_PACKAGES = ("func_py", "func_py_bindings")
_COPIED = ("METADATA", "entry_points.txt", "licenses/LICENSE")
_WHEEL = "Wheel-Version: 1.0\nGenerator: func-py\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_ANY_DATE = (2020, 1, 1, 0, 0, 0)
"""The same host gives the same wheel, and an image layer that need not be built again."""


def write_wheel(folder: Path) -> tuple[Path, frozenset[str]]:
    """Write the wheel into a folder; returns its path and the names of its extras.

    Raises:
        UserError: The host was not installed as a package.
    """
    try:
        installed = distribution(_NAME)
    except PackageNotFoundError as error:
        raise UserError("func-py is not installed as a package here: install it first.") from error
    info = f"{_NAME}-{installed.version}.dist-info"
    content = {f"{info}/WHEEL": _WHEEL.encode()}
    for name in _COPIED:
        text = installed.read_text(name)
        if text is not None:
            content[f"{info}/{name}"] = text.encode()
    for package in _PACKAGES:
        root = _folder(package)
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                content[f"{root.name}/{file.relative_to(root).as_posix()}"] = file.read_bytes()
    record = [f"{name},{_digest(data)},{len(data)}" for name, data in sorted(content.items())]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{_NAME}-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name, _ANY_DATE)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path, frozenset(installed.metadata.get_all("Provides-Extra") or ())


def _folder(package: str) -> Path:
    """Where a package is; it is not imported."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise UserError(f"The package {package} cannot be found: install func-py anew.")
    return Path(places[0])


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return f"sha256={digest.rstrip('=')}"

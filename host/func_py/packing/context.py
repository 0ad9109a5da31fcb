"""The folder that `func-py pack` writes: `site`, requirements, the host's wheel, a Dockerfile."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from func_py.config.jsonc import JsonValue, read_json_object
from func_py.config.overrides import apply_overrides
from func_py.config.state_dir import find_state_dir
from func_py.errors import UserError
from func_py.packing.dockerfile import IGNORE, dockerfile
from func_py.packing.ignored import FILE_NAME, MARK, packed_files
from func_py.packing.requirements import CONSTRAINTS, merged_requirements
from func_py.packing.wheel import write_wheel

_APPS = "function_apps"
_REQUIREMENTS = "requirements.txt"
_PROVIDER_TYPE = ("extensions", "durableTask", "storageProvider", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOptions:
    """What to pack and where to."""

    app_root: Path
    """An app, or a root with `function_apps`."""
    output: Path
    """Written anew; refused when it holds something else."""
    docker: bool = False
    python: str = ""
    """Version of Python in the image; empty: that of this process."""
    extras: tuple[str, ...] = ()
    """Of the host, besides the one that host.json's storage provider needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was written."""

    output: Path
    files: int
    """Of the app."""
    extras: tuple[str, ...]


def pack_app(options: PackOptions, environ: Mapping[str, str]) -> Packed:
    """Write the folder.

    Raises:
        UserError: There is no app, it needs what a pack cannot hold, or the output cannot be used.
    """
    root, output = options.app_root.resolve(), options.output.resolve()
    if not root.is_dir():
        raise UserError(f'"{options.app_root}" doesn\'t exist, or is not a folder.')
    if not (root / "host.json").is_file():
        raise UserError(f"{root} has no host.json: it is no app root.")
    if root.is_relative_to(output):
        raise UserError(f"The output {output} would replace the app.")
    apps = _apps(root)
    requirements = merged_requirements([root / _REQUIREMENTS, *(a / _REQUIREMENTS for a in apps)])
    files = list(_files(root, apps, {output, find_state_dir(root, environ).resolve()}))
    if root / "host.json" not in files:
        raise UserError(f"{root / FILE_NAME} leaves out host.json, which every host reads.")
    _clear(output)
    _copy(files, root, output / "site")
    (output / _REQUIREMENTS).write_text(requirements.text, encoding="utf-8")
    if requirements.constraints:
        (output / CONSTRAINTS).write_text(requirements.constraints, encoding="utf-8")
    wheel, known = write_wheel(output)
    extras = _extras(root, options.extras, known, environ)
    if options.docker:
        python = options.python or f"{sys.version_info.major}.{sys.version_info.minor}"
        text = dockerfile(
            wheel=wheel.name, extras=extras, python=python, are_hashed=requirements.are_hashed
        )
        (output / "Dockerfile").write_text(text, encoding="utf-8")
        (output / ".dockerignore").write_text(IGNORE, encoding="utf-8")
    return Packed(output=output, files=len(files), extras=extras)


def _apps(root: Path) -> list[Path]:
    """The apps of a root that is none itself; empty when it is one."""
    if _is_app(root):
        return []
    folder = root / _APPS
    apps = [a for a in folder.iterdir() if _is_app(a)] if folder.is_dir() else []
    if not apps:
        raise UserError(
            f"No function app in {root}: it has neither a function_app.py, nor folders with a "
            f"function.json, nor a folder {_APPS} with apps in it."
        )
    return sorted(apps)


def _is_app(folder: Path) -> bool:
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    return (folder / script).is_file() or any(folder.glob("*/function.json"))


def _files(root: Path, apps: list[Path], foreign: set[Path]) -> Iterator[Path]:
    if not apps:
        yield from packed_files(root, foreign)
        return
    # Of such a root a host reads nothing but this, whatever else is kept there.
    yield root / "host.json"
    for app in apps:
        yield from packed_files(app, foreign)


def _copy(files: Iterable[Path], root: Path, site: Path) -> None:
    """Copy the app, with modes by which the image's user can read it, whoever packs."""
    try:
        for file in files:
            copy = site / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            copy.chmod(0o755 if os.access(file, os.X_OK) else 0o644)
        for folder in (site, *(f for f in site.rglob("*") if f.is_dir())):
            folder.chmod(0o755)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be copied: {error.strerror}.") from error


def _clear(output: Path) -> None:
    try:
        if output.exists():
            if not (output / MARK).is_file() and any(output.iterdir()):
                raise UserError(
                    f"{output} holds something else. "
                    "Name another folder with --output, or empty it."
                )
            shutil.rmtree(output)
        output.mkdir(parents=True)
        (output / MARK).touch()
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror}. Name another folder with --output."
        ) from error


def _extras(
    root: Path, wanted: tuple[str, ...], known: frozenset[str], environ: Mapping[str, str]
) -> tuple[str, ...]:
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise UserError(
            f"func-py has no extra '{unknown[0]}'; there are: {', '.join(sorted(known))}."
        )
    provider = _provider(root, environ).lower()
    return tuple(sorted({*wanted, *(extra for extra in known if extra.lower() == provider)}))


def _provider(root: Path, environ: Mapping[str, str]) -> str:
    """The storage provider that host.json names, or an empty text."""
    tree = read_json_object(root / "host.json", "host.json")
    apply_overrides(tree, environ)
    value: JsonValue = tree
    for step in _PROVIDER_TYPE:
        if not isinstance(value, dict):
            return ""
        value = next((v for k, v in value.items() if k.casefold() == step.casefold()), "")
    return value if isinstance(value, str) else ""

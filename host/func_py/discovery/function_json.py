"""Version 1 functions: a folder with a function.json that names a script and its bindings.

One broken function harms no other: it is listed with its problem, and every call of it raises it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from func_py.config.app_settings import find_setting
from func_py.config.jsonc import read_json_object
from func_py.discovery.importing import import_function
from func_py.discovery.indexing import FunctionDraft, binding_of
from func_py.errors import ConfigError, DiscoveryError

FILE_NAME = "function.json"
_ENTRY_POINT = "main"
_INIT = "__init__.py"


def function_folders(root: Path) -> list[Path]:
    """The folders right below an app root that hold a function.json, sorted."""
    if not root.is_dir():
        return []
    return sorted(entry for entry in root.iterdir() if (entry / FILE_NAME).is_file())


def load_draft(folder: Path, root: Path, environ: Mapping[str, str]) -> FunctionDraft:
    """The function of a folder, its module imported; `error` is set where it is broken.

    Call it within `app_imports` of the root.
    """
    path = folder / FILE_NAME
    draft = FunctionDraft(folder.name, _missing, (), script=path, directory=folder)
    try:
        tree = read_json_object(path, str(path))
        retry = tree.get("retry")
        draft = replace(
            draft,
            bindings=tuple(binding_of(raw) for raw in _objects(tree.get("bindings"), path)),
            retry=retry if isinstance(retry, dict) else None,
            is_disabled=_is_disabled(tree.get("disabled"), environ),
        )
        draft = replace(draft, script=_script(folder, root, tree.get("scriptFile")))
        entry_point = str(tree.get("entryPoint") or _ENTRY_POINT)
        return replace(draft, function=_entry_point(root, draft.script, entry_point))
    except (ConfigError, DiscoveryError) as exc:
        return replace(draft, error=exc)


def _missing() -> None:
    """In place of a function that cannot be imported."""


def _objects(bindings: object, path: Path) -> list[dict[str, Any]]:
    if bindings is None:
        return []
    if not isinstance(bindings, list) or not all(isinstance(item, dict) for item in bindings):
        raise ConfigError(str(path), "bindings", "must be a list of JSON objects")
    return bindings


def _is_disabled(value: object, environ: Mapping[str, str]) -> bool:
    """`disabled` is a truth value, or the name of a setting that holds one."""
    if isinstance(value, str):
        value = (find_setting(value.strip("%"), environ) or value).lower() in ("true", "1")
    return bool(value)


def _script(folder: Path, root: Path, name: object) -> Path:
    script = (folder / str(name)).resolve() if name else _only_script(folder)
    problem = ""
    if not script.is_file():
        problem = f"{script} does not exist"
    elif not script.is_relative_to(root):
        problem = f"{script} is outside of the app root {root}"
    elif script.suffix != ".py":
        problem = f"{script} is no *.py file"
    if problem:
        raise ConfigError(str(folder / FILE_NAME), "scriptFile", problem)
    return script


def _only_script(folder: Path) -> Path:
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.name != FILE_NAME)
    if len(files) == 1:
        return files[0]
    for file in files:
        if file.stem == "run":
            return file
    if (folder / _INIT).is_file():
        return folder / _INIT
    raise ConfigError(
        str(folder / FILE_NAME),
        "scriptFile",
        f"is missing, and no file here is called {_INIT}: which one holds the function?",
    )


def _entry_point(root: Path, script: Path, name: str) -> Callable[..., Any]:
    function: object = getattr(import_function(root, script), name, None)
    if not callable(function):
        what = "is not there" if function is None else f"is no function: {type(function).__name__}"
        raise DiscoveryError([f"{script}: the entry point '{name}' {what}."])
    return function

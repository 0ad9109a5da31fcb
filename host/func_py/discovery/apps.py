"""Loading one app or a folder of apps into validated function specs.

A mistake in a version 2 app stops the app, one in a version 1 function only that function: as in
the official host, which can tell the functions of the latter apart.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

from func_py.discovery.function_json import function_folders, load_draft
from func_py.discovery.importing import app_imports, import_entry, module_name, top_level_modules
from func_py.discovery.indexing import index_module
from func_py.discovery.specs import SpecMaker, in_error
from func_py.discovery.validation import app_problems
from func_py.errors import DiscoveryError
from func_py_bindings.contract import FunctionSpec

logger = logging.getLogger(__name__)

SCRIPT_FILE = "function_app.py"
APPS_FOLDER = "function_apps"

Environment = Mapping[str, str]
_EMPTY: Environment = MappingProxyType({})

_NOT_SHARED = frozenset({"conftest", "setup", "test", "tests"})
"""Modules beside an app that no app imports at run time."""


@dataclass(slots=True)
class _App:
    """What loading one app gave. `is_v1`: its problems concern single functions."""

    is_v1: bool
    functions: list[FunctionSpec]
    problems: list[str]


def load_app(
    root: Path, *, script_file: str = SCRIPT_FILE, name: str = "", environ: Environment = _EMPTY
) -> list[FunctionSpec]:
    """Import one app and return its functions, sorted by name.

    Args:
        root: The app root. Becomes the working directory and the first entry of `sys.path`.
        script_file: The entry module, a plain `*.py` file name in the root. Without it the app is
            one of the version 1 model: folders with a function.json.
        name: The app's name when a host runs several; empty for one app alone.
        environ: The app settings that `%NAME%` in binding properties refers to.

    Raises:
        DiscoveryError: With every problem of the app; its code may have run. Of a version 1 app
            only when no function of it works.
    """
    return _merged([_load(root.resolve(), script_file, name, environ)])


def load_apps(
    root: Path, *, script_file: str = SCRIPT_FILE, environ: Environment = _EMPTY
) -> list[FunctionSpec]:
    """Import every app below `<root>/function_apps` and return all functions, sorted by name.

    Function names and routes must be unique across the apps, and so must their own top-level
    modules, because all apps share one process. The root becomes the working directory.

    Raises:
        DiscoveryError: With every problem of every app.
    """
    root = root.resolve()
    folders = app_folders(root, script_file)
    if not folders:
        raise DiscoveryError([f"no app folder with a {script_file} in {root / APPS_FOLDER}."])
    problems = list(_shared_modules(folders, script_file))
    apps = []
    for folder in folders:
        if _says_something(folder / "host.json"):
            logger.warning(
                "%s is not used: the host.json of %s counts.", folder / "host.json", root
            )
        apps.append(_load(folder, script_file, folder.name, environ))
    os.chdir(root)
    return _merged(apps, problems)


def _says_something(host_json: Path) -> bool:
    """Whether ignoring this file could surprise: it holds more than its version."""
    try:
        settings = json.loads(host_json.read_text("utf-8-sig"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return not isinstance(settings, dict) or settings.keys() != {"version"}


def is_app(root: Path, script_file: str = SCRIPT_FILE) -> bool:
    """Whether a folder is an app root, of either programming model."""
    return (root / script_file).is_file() or bool(function_folders(root))


def app_folders(root: Path, script_file: str = SCRIPT_FILE) -> list[Path]:
    """The folders of `<root>/function_apps` that hold an app, sorted."""
    folder = root / APPS_FOLDER
    if not folder.is_dir():
        return []
    return sorted(e for e in folder.iterdir() if e.is_dir() and is_app(e, script_file))


def functions_of(
    module: ModuleType, script: Path, app: str = "", environ: Environment = _EMPTY
) -> tuple[list[FunctionSpec], list[str]]:
    """The functions of an imported entry module, and every problem of those left out.

    Raises:
        DiscoveryError: The module has no usable app object.
    """
    maker = SpecMaker(script.parent, app, environ)
    functions: list[FunctionSpec] = []
    problems: list[str] = []
    for draft in index_module(module, script):
        spec, wrong = maker.make(draft)
        problems += wrong
        if not wrong:
            functions.append(spec)
    return functions, problems


def _load(root: Path, script_file: str, name: str, environ: Environment) -> _App:
    if Path(script_file).name != script_file or not script_file.endswith(".py"):
        problem = f"PYTHON_SCRIPT_FILE_NAME: '{script_file}' is no plain *.py file name."
        return _App(False, [], [problem])
    script = root / script_file
    folders = function_folders(root)
    if not script.is_file():
        if folders:
            return _load_v1(root, folders, name, environ)
        return _App(False, [], [f"no function app in {root}: there is no {script_file}."])
    if folders:
        logger.warning(
            "%s: functions of the version 1 model are not loaded beside a %s: %s.",
            root,
            script_file,
            ", ".join(folder.name for folder in folders),
        )
    try:
        with app_imports(root, keep={module_name(script_file, name)}):
            module = import_entry(root, script_file, name)
        return _App(False, *functions_of(module, script, name, environ))
    except DiscoveryError as exc:
        return _App(False, [], exc.problems)


def _load_v1(root: Path, folders: Sequence[Path], name: str, environ: Environment) -> _App:
    maker = SpecMaker(root, name, environ)
    functions = []
    # The folders of functions can be imported, but whoever imports `queue` means another one.
    with app_imports(root, keep={folder.name for folder in folders}):
        drafts = [load_draft(folder, root, environ) for folder in folders]
    for draft in drafts:
        spec, problems = maker.make(draft)
        functions.append(in_error(spec, "\n".join(problems)) if problems else spec)
    return _App(True, functions, [])


def _merged(apps: Iterable[_App], problems: Iterable[str] = ()) -> list[FunctionSpec]:
    """All functions, sorted by name, when no problem stands against running them."""
    apps = list(apps)
    problems = [*problems, *(problem for app in apps for problem in app.problems)]
    functions = sorted(
        (spec for app in apps for spec in app.functions), key=lambda spec: spec.name.lower()
    )
    alone = {spec for app in apps if app.is_v1 for spec in app.functions}
    collided: dict[FunctionSpec, str] = {}
    for spec, problem in app_problems(functions):
        if spec in alone:
            collided.setdefault(spec, problem)
        else:
            problems.append(problem)
    functions = [in_error(s, collided[s]) if s in collided else s for s in functions]
    if problems or all(spec.problem for spec in functions):
        raise DiscoveryError([*problems, *(spec.problem for spec in functions if spec.problem)])
    return functions


def _shared_modules(apps: Iterable[Path], script_file: str) -> Iterator[str]:
    seen: dict[str, Path] = {}
    for app in apps:
        is_v1 = not (app / script_file).is_file()
        for module, path in top_level_modules(app, with_folders=is_v1).items():
            if path.name == script_file or module in _NOT_SHARED:
                continue
            first = seen.setdefault(module, path)
            if first != path:
                yield (
                    f"two apps have a top-level module '{module}': {first} and {path}. Apps in one "
                    "host share their modules: rename one, or run the apps in hosts of their own."
                )

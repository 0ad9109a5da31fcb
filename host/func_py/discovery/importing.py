"""Importing the user's code, with the user's own modules winning over everyone else's.

Import barrier. User code shares our process, so a module of the app may bear the name of one that
is loaded already. Before an app is loaded the process must have imported all that it still needs
from outside the standard library: aiohttp, msgspec, werkzeug, opentelemetry, the SDKs, the chosen
storage provider and every `func_py` module that will run. Whoever holds a module keeps it; a later
`import` of the same name may find the app's.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from func_py.errors import DiscoveryError
from func_py.logs import user_traceback

SITE_PACKAGES = Path(".python_packages") / "lib" / "site-packages"
"""Where a deployment keeps the app's dependencies, below the app root."""

NAMESPACE = "__app__"
"""The package that the modules of version 1 functions are imported into."""

_NEVER_REPLACED = frozenset({"azure", "func_py", "func_py_bindings", "__main__"})
_MODULE_SUFFIXES = tuple(importlib.machinery.all_suffixes())


def module_name(script_file: str, app: str) -> str:
    """The name an entry module is loaded under.

    One app alone keeps the official name, the script's stem: stored custom objects name it. With
    several apps each has a name of its own.
    """
    stem = Path(script_file).stem
    return stem if not app else f"{stem}__{re.sub(r'[^0-9A-Za-z_]', '_', app)}"


def import_entry(root: Path, script_file: str, app: str) -> ModuleType:
    """Import the entry module of a version 2 app. Call it within `app_imports`.

    Raises:
        DiscoveryError: The module raised; the text is the user's traceback.
    """
    script = root / script_file
    name = module_name(script_file, app)
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise DiscoveryError([f"{script} is no Python module."])
    module = importlib.util.module_from_spec(spec)
    stem = Path(script_file).stem
    sys.modules[name] = module
    # Code of the app may import its entry module while that is being loaded.
    sys.modules[stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:  # The edge to user code.
        sys.modules.pop(name, None)
        raise DiscoveryError([import_problem(root, script, exc)]) from exc
    finally:
        if stem != name:
            # Several apps have such a module: a later import must not load one a second time.
            sys.modules[stem] = None  # type: ignore[assignment]
    return module


def import_function(root: Path, script: Path) -> ModuleType:
    """Import the module of a version 1 function. Call it within `app_imports`.

    It becomes `__app__.<Folder>` or `__app__.<Folder>.<module>`, so that relative imports and
    those from `__app__` find what else the app root holds. All apps of a host share the package:
    their modules have names of their own, which discovery checks.

    Raises:
        DiscoveryError: The module raised; the text is the user's traceback.
    """
    _extend_namespace(root)
    parts = script.relative_to(root).with_suffix("").parts
    name = ".".join((NAMESPACE, *(parts[:-1] if parts[-1] == "__init__" else parts)))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:  # The edge to user code.
        raise DiscoveryError([import_problem(root, script, exc)]) from exc


@contextmanager
def app_imports(root: Path, keep: Collection[str]) -> Iterator[None]:
    """Import code of an app while entered.

    Puts the app root, then its `.python_packages`, first on `sys.path`, for good: user code may
    import later. Makes the app root the working directory. `keep`: names at the top level of the
    root that replace no loaded module.
    """
    entries = [str(root)]
    if (root / SITE_PACKAGES).is_dir():
        entries.append(str(root / SITE_PACKAGES))
    sys.path[:] = [*entries, *(entry for entry in sys.path if entry not in entries)]
    os.chdir(root)
    importlib.invalidate_caches()
    with _own_modules_first(root, keep):
        yield


@contextmanager
def imports_of_ours(roots: Collection[Path]) -> Iterator[None]:
    """Import modules of the host while entered, though apps are loaded already.

    What apps have put on the path is left out, and their own modules are out of sight.
    """
    entries = {str(entry) for root in roots for entry in (root, root / SITE_PACKAGES)}
    path = list(sys.path)
    names = {
        name
        for root in roots
        for name, place in top_level_modules(root).items()
        if name not in _NEVER_REPLACED and _is_from(sys.modules.get(name), place)
    }
    hidden = {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] in names
    }
    for name in hidden:
        del sys.modules[name]
    sys.path[:] = [entry for entry in path if entry not in entries]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_from(module: ModuleType | None, place: Path) -> bool:
    """Whether a module was loaded from a file, or from the folder of a package."""
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(place.resolve())


def top_level_modules(root: Path, *, with_folders: bool = False) -> dict[str, Path]:
    """Importable names that an app root offers, and the file or package folder of each.

    `with_folders`: also folders of modules without an `__init__.py`.
    """
    found: dict[str, Path] = {}
    for entry in sorted(root.iterdir()):
        if entry.is_dir():
            if entry.name.isidentifier() and any(
                entry.glob("*.py" if with_folders else "__init__.py")
            ):
                found[entry.name] = entry
        elif entry.name.endswith(_MODULE_SUFFIXES):
            name = entry.name.partition(".")[0]
            if name.isidentifier():
                found.setdefault(name, entry)
    return found


def _extend_namespace(root: Path) -> None:
    package = sys.modules.get(NAMESPACE)
    if package is None:
        spec = importlib.machinery.ModuleSpec(NAMESPACE, None, is_package=True)
        package = importlib.util.module_from_spec(spec)
        sys.modules[NAMESPACE] = package
    path: list[str] = package.__path__  # type: ignore[assignment]  # The list of the spec above.
    if str(root) not in path:
        path.append(str(root))


@contextmanager
def _own_modules_first(root: Path, keep: Collection[str]) -> Iterator[None]:
    """Let the app's modules be found where the process has others loaded under their names.

    A module of the standard library is put back when the app is loaded: the host and libraries
    import those at any time. Others stay the app's.
    """
    names = _shadowing(root).difference(keep)
    shadowed = {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] in names
    }
    for name in shadowed:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, module in shadowed.items():
            if name.partition(".")[0] in sys.stdlib_module_names:
                sys.modules[name] = module


def _shadowing(root: Path) -> set[str]:
    names = set()
    for name in top_level_modules(root):
        loaded = sys.modules.get(name)
        if loaded is None or name in _NEVER_REPLACED:
            continue
        origin = getattr(getattr(loaded, "__spec__", None), "origin", None)
        if origin in ("built-in", "frozen"):
            continue  # The interpreter itself stands on these; no script can replace them.
        file = getattr(loaded, "__file__", None)
        if file is None or not Path(file).resolve().is_relative_to(root.resolve()):
            names.add(name)
    return names


def import_problem(root: Path, script: Path, error: BaseException) -> str:
    """Why a script of the app cannot be imported, with the user's traceback and what to do."""
    text = f"{script} cannot be imported:\n{_indented(user_traceback(error))}"
    if isinstance(error, ModuleNotFoundError) and not _is_of_app(root, error.name):
        text += (
            f"\n  The module '{error.name}' is not installed in this environment ({sys.prefix}). "
            "If requirements.txt names it, run: "
            f"{sys.executable} -m pip install -r {root / 'requirements.txt'}"
        )
    elif isinstance(error, SystemExit):
        text += "\n  The module ends the process while it is imported (sys.exit)."
    return text


def _is_of_app(root: Path, module: str | None) -> bool:
    """Whether a module that was not found should have been a file of the app."""
    top = (module or NAMESPACE).partition(".")[0]
    return top == NAMESPACE or (root / top).is_dir() or (root / f"{top}.py").is_file()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))

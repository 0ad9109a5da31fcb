"""Loads the functions of an app root, whether it holds one app or a folder of apps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from func_py.config.provider_choice import choose_provider
from func_py.config.settings import HostConfig
from func_py.discovery import APPS_FOLDER, SCRIPT_FILE, app_folders, is_app, load_app, load_apps
from func_py.durable.storage.registry import find_provider, known_providers
from func_py.errors import ConfigError, DiscoveryError
from func_py.lint import Finding, OrchestratorSource, lint_orchestrators
from func_py_bindings.contract import FunctionSpec, user_code
from func_py_bindings.durable_function import DurableFunction, by_name, durable_functions


def import_storage(config: HostConfig) -> None:
    """Import the storage provider before the app, whose own modules would win afterwards.

    That it cannot be had is an error only for an app that needs it.
    """
    with suppress(ConfigError):
        find_provider(choose_provider(config.durable.storage_provider, known_providers()))


def load_functions(root: Path, environ: Mapping[str, str]) -> list[FunctionSpec]:
    """Import what the app root holds and return its functions.

    Raises:
        DiscoveryError: With every problem.
    """
    script_file = environ.get("PYTHON_SCRIPT_FILE_NAME") or SCRIPT_FILE
    if is_app(root, script_file):
        return load_app(root, script_file=script_file, environ=environ)
    if app_folders(root, script_file):
        return load_apps(root, script_file=script_file, environ=environ)
    problem = f"No function app in {root}: it has neither a {script_file}, nor folders with a "
    raise DiscoveryError([f"{problem}function.json, nor a folder {APPS_FOLDER} with apps in it."])


def unknown_names(functions: Iterable[FunctionSpec], names: Iterable[str]) -> list[str]:
    """A warning for each of the names, of functions to load, that is no function's."""
    known = {function.name.casefold(): function.name for function in functions}
    warnings = []
    for name in sorted({name.casefold() for name in names} - known.keys()):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{known[near[0]]}'?" if near else ""
        warnings.append(f"There is no function '{name}' to load.{hint}")
    return warnings


def lint_functions(functions: Iterable[FunctionSpec]) -> list[Finding]:
    """What breaks replay in the orchestrators among these functions, and in what they call."""
    functions = list(functions)
    orchestrators = durable_functions(functions, "orchestrator")
    sources = []
    for orchestrator in orchestrators:
        code = getattr(user_code(orchestrator.spec.function), "__code__", None)
        if code is not None:
            sources.append(
                OrchestratorSource(
                    name=orchestrator.name,
                    app_root=orchestrator.spec.app_root,
                    file=Path(code.co_filename),
                    line=code.co_firstlineno,
                )
            )
    known = {
        "activity": _names(durable_functions(functions, "activity")),
        "orchestrator": _names(orchestrators),
    }
    return lint_orchestrators(sources, known)


def _names(functions: Sequence[DurableFunction]) -> list[str]:
    """Every name that a call may use; of two spellings the function's own comes last."""
    return [*by_name(functions), *(function.name for function in functions)]

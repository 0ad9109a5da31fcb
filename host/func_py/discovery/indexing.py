"""From an imported entry module to function drafts: the decorator programming model.

Talks to the SDK's app object; judging what it says is `validation`'s work.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
from azure.functions import FunctionRegister

from func_py.errors import DiscoveryError
from func_py_bindings.asgi import AsgiLifespan
from func_py_bindings.contract import BindingSpec, Direction, Lifespan, location_of


@dataclass(frozen=True, slots=True)
class FunctionDraft:
    """A function as the app declares it, not yet judged.

    `script` is the file that declares it, `directory` its folder in the version 1 model. `retry`
    holds the settings of its retry policy. `error` tells why there is no usable `function`.
    """

    name: str
    function: Callable[..., Any]
    bindings: tuple[BindingSpec, ...]
    script: Path
    directory: Path | None = None
    retry: Mapping[str, Any] | None = None
    lifespan: Lifespan | None = None
    error: BaseException | None = None
    is_disabled: bool = False

    @property
    def location(self) -> str:
        """`file:line` of the user's code, or its file."""
        code = "" if self.error is not None else location_of(self.function)
        return code or str(self.script)


def index_module(module: ModuleType, script: Path) -> list[FunctionDraft]:
    """The functions of the one app object in an entry module.

    Raises:
        DiscoveryError: No app object, several, or the SDK refuses their functions.
    """
    app = _app_object(module, script)
    with _without_sdk_notices():
        try:
            # Once only: the SDK takes every name for a duplicate at the second call.
            functions = app.get_functions()
        except ValueError as exc:
            raise DiscoveryError(_builder_problems(app) or [f"{script}: {exc}"]) from exc
    if not functions:
        raise DiscoveryError([f"{script}: the app has no functions. {_blueprint_hint(module)}"])
    return [
        FunctionDraft(
            name=str(function.get_function_name()),
            function=function.get_user_function(),
            bindings=tuple(binding_of(json.loads(raw)) for raw in function.get_raw_bindings()),
            script=script,
            retry=function.get_settings_dict("retry_policy"),
            lifespan=AsgiLifespan(app) if isinstance(app, func.AsgiFunctionApp) else None,
        )
        for function in functions
    ]


def binding_of(raw: dict[str, Any]) -> BindingSpec:
    """A binding from its function.json form; type, name and direction in any case."""
    lowered = {key.lower(): value for key, value in raw.items()}
    word = str(lowered.get("direction", "in")).lower()
    direction: Direction = "out" if word == "out" else "inout" if word == "inout" else "in"
    return BindingSpec(
        type=str(lowered.get("type", "")),
        name=str(lowered.get("name", "")),
        direction=direction,
        properties={
            key: value
            for key, value in raw.items()
            if key.lower() not in ("type", "name", "direction")
        },
    )


def _app_object(module: ModuleType, script: Path) -> Any:
    found = [(name, value) for name, value in vars(module).items() if _is_app(value)]
    if not found:
        problem = (
            f"{script}: no function app found. Define one at module level, for example "
            f"'app = func.FunctionApp()'. {_blueprint_hint(module)}"
        )
        raise DiscoveryError([problem.rstrip()])
    if len(found) > 1:
        names = ", ".join(f"'{name}' ({type(value).__name__})" for name, value in found)
        problem = (
            f"{script}: more than one function app is defined at module level: {names}. "
            "Keep one; put the other functions into a Blueprint and register it."
        )
        raise DiscoveryError([problem])
    return found[0][1]


def _is_app(value: object) -> bool:
    return isinstance(value, FunctionRegister)


def _blueprint_hint(module: ModuleType) -> str:
    blueprints = [name for name, value in vars(module).items() if isinstance(value, func.Blueprint)]
    if not blueprints:
        return ""
    names = " ".join(f"app.register_functions({name})" for name in blueprints)
    return f"A blueprint counts only when it is registered: {names}."


def _builder_problems(app: Any) -> list[str]:
    """Every reason why the SDK refuses an app; it names only the first."""
    problems = []
    seen: dict[str, str] = {}
    for builder in getattr(app, "_function_builders", []):
        function = builder._function
        name = function.get_function_name()
        where = location_of(function.get_user_function())
        if function.get_trigger() is None:
            problems.append(f"{where}: function '{name}' has no trigger.")
        if name in seen:
            problems.append(duplicate_name(name, seen[name], where))
        seen.setdefault(name, where)
    return problems


def duplicate_name(name: str, first: str, second: str) -> str:
    """The sentence about two functions of one name, at two locations."""
    return (
        f"{second}: the function name '{name}' is taken already, by {first}. "
        "Rename one, or give it another name with @app.function_name()."
    )


@contextmanager
def _without_sdk_notices() -> Iterator[None]:
    """Drop what the SDK logs through the root logger as if it were user code."""
    sdk = str(Path(inspect.getfile(func)).parent)
    root = logging.getLogger()

    def is_from_app(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(sdk)

    root.addFilter(is_from_app)
    try:
        yield
    finally:
        root.removeFilter(is_from_app)

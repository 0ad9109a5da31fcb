"""Apps for tests: written to disk and loaded, or made of decorated functions in the test itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from func_py.discovery.apps import functions_of
from func_py_bindings.contract import FunctionSpec

HEADER = """\
import azure.functions as func
import azure.durable_functions as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


@contextmanager
def import_state() -> Iterator[None]:
    """Give `sys.path`, `sys.modules` and the working directory back as they were."""
    path, modules, folder = list(sys.path), dict(sys.modules), os.getcwd()
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.clear()
        sys.modules.update(modules)
        os.chdir(folder)


def write_app(root: Path, source: str, files: Mapping[str, str] | None = None) -> Path:
    """Write an app whose entry module is `HEADER` and `source`; other files by relative path."""
    for name, text in {"function_app.py": HEADER + source, **(files or {})}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def functions(app: Any) -> dict[str, FunctionSpec]:
    """The functions of an app object, by name; fails when one has a problem."""
    module = ModuleType("function_app")
    module.app = app  # type: ignore[attr-defined]
    found, problems = functions_of(module, Path(__file__))
    assert problems == []
    return {spec.name: spec for spec in found}


class RecordedLog:
    """An invocation log that remembers its lines as (level, function, text)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def info(self, function: str, text: str) -> None:
        """See `InvocationLog.info`."""
        self.lines.append(("info", function, text))

    def error(self, function: str, text: str) -> None:
        """See `InvocationLog.error`."""
        self.lines.append(("error", function, text))

    @property
    def errors(self) -> list[str]:
        """Texts of the failures."""
        return [text for level, _, text in self.lines if level == "error"]

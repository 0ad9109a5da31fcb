"""Orchestrators to lint, as source text."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path

from func_py.lint import Finding, OrchestratorSource, lint_orchestrators


class Linter:
    """Lints the function `flow` of a function_app.py in `root`, without loading it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(
        self,
        code: str,
        files: Mapping[str, str] | None = None,
        known: Mapping[str, Collection[str]] | None = None,
    ) -> list[Finding]:
        """The findings; `files` are more modules of the app, by path below its root."""
        app = self._root / "function_app.py"
        app.write_text(textwrap.dedent(code))
        for name, text in (files or {}).items():
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return lint_orchestrators([orchestrator_in(app)], known or {})


def orchestrator_in(app: Path, name: str = "flow") -> OrchestratorSource:
    """The function of this name in a file."""
    node = next(
        node
        for node in ast.walk(ast.parse(app.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
    )
    line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return OrchestratorSource(name=name, app_root=app.parent, file=app, line=line)

"""From the orchestrators of an app to the findings in them and in what they call."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from func_py.lint.body import BodyCheck
from func_py.lint.modules import FunctionNode, Project, SourceFunction
from func_py.lint.rules import Finding, Rule
from func_py.lint.scope import Scope

_LONGEST_CODE = 60
_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorSource:
    """Where an orchestrator's code is."""

    name: str
    """The durable name."""
    app_root: Path
    """Calls are followed into the files below it, but not into installed packages."""
    file: Path
    line: int
    """First line of the function, decorators included; from 1."""


def lint_orchestrators(
    orchestrators: Iterable[OrchestratorSource], known: Mapping[str, Collection[str]] = _NOTHING
) -> list[Finding]:
    """All findings, by file and line; each place and rule once.

    What cannot be read, or is no plain function, is passed over: loading the app tells about it.

    Args:
        orchestrators: Where to begin.
        known: `activity`, `orchestrator` and `entity` → the names that calls may use, in any case;
            calls of a kind that is not there are not looked at.
    """
    names = {kind: {name.lower(): name for name in known[kind]} for kind in known}
    projects: dict[Path, Project] = {}
    found: dict[tuple[Path, int, int, str], Finding] = {}
    for orchestrator in orchestrators:
        root = orchestrator.app_root.resolve()
        project = projects.setdefault(root, Project(root))
        for finding in _Walk(orchestrator.name, project, names).findings(orchestrator):
            key = (finding.path, finding.line, finding.column, finding.rule.id)
            found.setdefault(key, finding)
    return [found[key] for key in sorted(found)]


class _Walk:
    """One orchestrator and everything it calls."""

    def __init__(
        self, orchestrator: str, project: Project, known: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._orchestrator = orchestrator
        self._known = known
        self._project = project
        self._findings: list[Finding] = []
        self._todo: list[tuple[SourceFunction, frozenset[str], bool]] = []
        self._seen: set[tuple[FunctionNode, frozenset[str], bool]] = set()

    def findings(self, orchestrator: OrchestratorSource) -> list[Finding]:
        module = self._project.module_at(orchestrator.file)
        entry = module.function_at(orchestrator.line) if module is not None else None
        if entry is None:
            return []
        parameters = entry.parameters
        self._follow(entry, frozenset(p.arg for p in parameters[:1]), drives=True)
        while self._todo:
            function, contexts, drives = self._todo.pop()
            self._check(function, contexts, drives=drives, is_entry=function is entry)
        return self._findings

    def _follow(self, function: SourceFunction, contexts: frozenset[str], drives: bool) -> None:
        key = (function.node, contexts, drives)
        if key not in self._seen:
            self._seen.add(key)
            self._todo.append((function, contexts, drives))

    def _check(
        self, function: SourceFunction, contexts: frozenset[str], *, drives: bool, is_entry: bool
    ) -> None:
        def report(node: ast.AST, rule: Rule, hint: str = "") -> None:
            line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
            module = function.module
            places = (line, getattr(node, "end_lineno", line), function.node.lineno)
            if any(module.ignores(place, rule.id) for place in places):
                return
            self._findings.append(
                Finding(
                    path=module.path,
                    line=line,
                    column=column + 1,
                    rule=rule,
                    code=_code(node),
                    function=self._orchestrator if is_entry else function.node.name,
                    orchestrator=self._orchestrator,
                    hint=hint,
                )
            )

        BodyCheck(
            function,
            Scope(function, self._project),
            contexts=contexts,
            drives=drives,
            is_entry=is_entry,
            known=self._known,
            report=report,
            follow=self._follow,
        ).check()


def _code(node: ast.AST) -> str:
    """The code of a node on one line, shortened."""
    if isinstance(node, FunctionNode):
        return f"async def {node.name}" if isinstance(node, ast.AsyncFunctionDef) else node.name
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST_CODE else f"{text[: _LONGEST_CODE - 1]}…"

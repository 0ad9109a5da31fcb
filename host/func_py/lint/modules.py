"""Source files of an app, and where the names in them lead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_NAMESPACE = "__app__"
"""The package under which version 1 functions import what the app root holds."""
_FOREIGN = frozenset({"site-packages", ".python_packages", ".venv", "venv"})
_IGNORE = re.compile(r"#\s*func-py:\s*ignore(?:\[([\w\s,-]*)\])?")
_MOST_HOPS = 10
"""How often a name may be passed on from module to module."""


@dataclass(frozen=True, eq=False)
class SourceFunction:
    """A function of the project. `owner`: the class whose method it is, or empty."""

    module: SourceModule
    node: FunctionNode
    owner: str = ""

    @cached_property
    def parameters(self) -> list[ast.arg]:
        """All that arguments are bound to, by position first."""
        arguments = self.node.args
        return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]

    @cached_property
    def is_generator(self) -> bool:
        """Whether its own body yields."""
        return any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in own_nodes(self.node))

    @property
    def first_line(self) -> int:
        """The line that code objects name: that of the first decorator."""
        return min([self.node.lineno, *(d.lineno for d in self.node.decorator_list)])


@dataclass(frozen=True, eq=False)
class SourceModule:
    """One parsed file. `name` is dotted, from the app root."""

    name: str
    path: Path
    tree: ast.Module
    lines: list[str] = field(repr=False)

    @cached_property
    def imports(self) -> dict[str, str]:
        """Name at module level → the full dotted name of what was imported."""
        return imports_of(self.tree.body, self)

    @cached_property
    def assigned(self) -> dict[str, list[ast.expr]]:
        """Name at module level → everything that is assigned to it there."""
        found: dict[str, list[ast.expr]] = {}
        for node in _statements(self.tree.body):
            for name, value in assignments(node):
                found.setdefault(name, []).append(value)
        return found

    @cached_property
    def definitions(self) -> dict[str, FunctionNode | ast.ClassDef]:
        """Functions and classes at module level."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return {n.name: n for n in _statements(self.tree.body) if isinstance(n, kinds)}

    def function_at(self, line: int) -> SourceFunction | None:
        """The function whose code begins on this line."""
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                function = SourceFunction(self, node)
                if function.first_line == line:
                    return function
        return None

    def ignores(self, line: int, rule: str) -> bool:
        """Whether a comment on this line (from 1) switches the rule off."""
        match = _IGNORE.search(self.lines[line - 1]) if line <= len(self.lines) else None
        if match is None:
            return False
        return match[1] is None or rule in re.split(r"[\s,]+", match[1])


class Project:
    """The modules of one app, read when they are needed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[Path, SourceModule | None] = {}

    def module_at(self, path: Path) -> SourceModule | None:
        """The module in a file of the app, or None: elsewhere, or not to be read."""
        path = path.resolve()
        if path not in self._modules:
            self._modules[path] = self._read(path)
        return self._modules[path]

    def function(self, name: str, hops: int = 0) -> SourceFunction | None:
        """The project's function of a full dotted name; that of a class is its `__init__`."""
        name = name.removeprefix(f"{_NAMESPACE}.")
        module, rest = self._split(name)
        if module is None or not rest or hops > _MOST_HOPS:
            return None
        head, *tail = rest.replace("()", "").split(".")
        found = module.definitions.get(head)
        if isinstance(found, ast.ClassDef):
            return _method(module, found, tail[0] if tail else "__init__")
        if found is not None:
            return None if tail else SourceFunction(module, found)
        if head in module.imports:
            return self.function(".".join([module.imports[head], *tail]), hops + 1)
        return None

    def owns(self, name: str) -> bool:
        """Whether a full dotted name begins with a module of the project."""
        return self._split(name.removeprefix(f"{_NAMESPACE}."))[0] is not None

    def _split(self, name: str) -> tuple[SourceModule | None, str]:
        """The longest beginning of a dotted name that is a module, and what follows it."""
        steps = name.split(".")
        for count in range(len(steps), 0, -1):
            path = self._root.joinpath(*steps[:count])
            for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
                if file.is_file():
                    return self.module_at(file), ".".join(steps[count:])
        return None, ""

    def _read(self, path: Path) -> SourceModule | None:
        if not path.is_relative_to(self._root):
            return None
        parts = path.relative_to(self._root).with_suffix("").parts
        if not _FOREIGN.isdisjoint(parts):
            return None
        try:
            text = path.read_bytes()
            tree = ast.parse(text, str(path))
        except (OSError, SyntaxError, ValueError):
            return None  # The import of it tells.
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return SourceModule(name, path, tree, text.decode("utf-8", "replace").splitlines())


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Everything in a function's body, but not in functions and classes defined there."""
    todo = list(getattr(function, "body", []))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (FunctionNode, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))


def imports_of(body: list[ast.stmt], module: SourceModule) -> dict[str, str]:
    """What the import statements among these, and in their blocks, bind."""
    bound: dict[str, str] = {}
    for node in _statements(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                bound[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom):
            base = _origin(node, module)
            for alias in node.names:
                full = f"{base}.{alias.name}" if base else alias.name
                bound[alias.asname or alias.name] = full
    return bound


def assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The plain names that a statement binds to values, and those values."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        if isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr


def _origin(node: ast.ImportFrom, module: SourceModule) -> str:
    if not node.level:
        return node.module or ""
    steps = module.name.split(".") if module.name else []
    if module.path.name != "__init__.py":
        steps = steps[:-1]
    steps = steps[: len(steps) - (node.level - 1)] if node.level > 1 else steps
    return ".".join([*steps, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements and those in their blocks, but not in functions and classes."""
    for node in body:
        yield node
        if not isinstance(node, (FunctionNode, ast.ClassDef)):
            for block in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _method(module: SourceModule, owner: ast.ClassDef, name: str) -> SourceFunction | None:
    for node in owner.body:
        if isinstance(node, FunctionNode) and node.name == name:
            return SourceFunction(module, node, owner.name)
    return None

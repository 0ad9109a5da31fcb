"""An entry module or blueprint file as it can be added to: read as a syntax tree, never run."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from func_py.errors import UserError

FUNCTIONS_SDK = "azure.functions"
DURABLE_SDK = "azure.durable_functions"
_CLASSES = ("FunctionApp", "DFApp", "AsgiFunctionApp", "WsgiFunctionApp", "Blueprint")


@dataclass(frozen=True, slots=True)
class Register:
    """The object at module level that functions are registered with."""

    variable: str
    call: ast.Call
    kind: str
    """The class that is called: `FunctionApp`, `DFApp`, `Blueprint`, …"""
    is_durable: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file with a register in it. Positions count as `ast` counts them."""

    text: str
    register: Register
    modules: dict[str, str]
    """Module → the name it is imported under, for the modules of the SDKs."""
    names: frozenset[str]
    """Everything bound at module level."""
    imports_end: int
    """The line after which imports can be added; 0 is the top."""


def read_source(text: str, file: str) -> Source:
    """Understand a file.

    Args:
        text: Its content.
        file: Its name, for messages.

    Raises:
        UserError: It is not Python, or has no app and no blueprint at module level.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as exc:
        raise UserError(f"{file}:{exc.lineno}: is not valid Python: {exc.msg}.") from exc
    imported = _imports(tree)
    register = _register(tree, imported)
    if register is None:
        raise UserError(
            f"{file}: has no function app and no blueprint at module level to add a function to."
        )
    modules = {module: name for name, module in imported.items() if module in _SDKS}
    return Source(text, register, modules, frozenset(_bound(tree)), _imports_end(tree))


_SDKS = (FUNCTIONS_SDK, DURABLE_SDK)


def _imports(tree: ast.Module) -> dict[str, str]:
    """Name at module level → the dotted thing that is imported under it."""
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import azure.functions` binds `azure`, but is used by its whole name.
                names[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _register(tree: ast.Module, imported: dict[str, str]) -> Register | None:
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if not (isinstance(target, ast.Name) and isinstance(value, ast.Call)):
            continue
        module, _, kind = _full_name(value.func, imported).rpartition(".")
        if kind in _CLASSES:
            is_durable = kind == "DFApp" or (kind == "Blueprint" and module == DURABLE_SDK)
            found.append(Register(target.id, value, kind, is_durable))
    # An app before a blueprint; of several the last, which other code is likely to build upon.
    return max(found, key=lambda register: register.kind != "Blueprint", default=None)


def _full_name(node: ast.expr, imported: dict[str, str]) -> str:
    """The dotted name of an expression, with what was imported under its first part."""
    dotted = ast.unparse(node)
    for name in sorted(imported, key=len, reverse=True):
        if dotted == name or dotted.startswith(name + "."):
            return imported[name] + dotted[len(name) :]
    return dotted


def _bound(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((a.asname or a.name).partition(".")[0] for a in node.names)
        else:
            names.update(
                inner.id
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            )
    return names


def _imports_end(tree: ast.Module) -> int:
    end = 0
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (is_docstring or isinstance(node, (ast.Import, ast.ImportFrom))):
            break
        end = node.end_lineno or end
    return end

"""What the names in one function mean: the full dotted name of an expression, or nothing."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from func_py.lint.modules import Project, SourceFunction, assignments, imports_of, own_nodes

_SEEDED = ("random.Random", "numpy.random.default_rng", "numpy.random.RandomState")
"""With an argument their numbers are the same each time."""
_MOST_HOPS = 10


class Scope:
    """Names as the code of a function sees them.

    A dotted name such as `datetime.datetime.now` says where something comes from, whatever it is
    called here; `requests.Session().get` is a method of what that call gives. Names that are bound
    in several ways mean nothing.
    """

    def __init__(self, function: SourceFunction, project: Project) -> None:
        self._function = function
        self._module = function.module
        self._project = project
        body = function.node.body
        self._imports = imports_of(body, function.module)
        self._nested = {
            node.name: node
            for node in own_nodes(function.node)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        self._values: dict[str, list[ast.expr | None]] = {}
        for parameter in function.parameters:
            self._values.setdefault(parameter.arg, []).append(None)
        for node in own_nodes(function.node):
            for name, value in _bound(node):
                self._values.setdefault(name, []).append(value)

    def name_of(self, expression: ast.expr, hops: int = 0) -> str:
        """The full dotted name of an expression, or an empty text."""
        if hops > _MOST_HOPS:
            return ""
        match expression:
            case ast.Name(id=name):
                return self._name(name, hops + 1)
            case ast.Attribute(value=value, attr=attribute):
                base = self.name_of(value, hops + 1)
                return f"{base}.{attribute}" if base else ""
            case ast.Call(func=function):
                base = self.name_of(function, hops + 1)
                return f"{base}()" if base and not self.is_seeded(expression) else ""
            case _:
                return ""

    def target(self, call: ast.Call) -> SourceFunction | None:
        """The function of the project that a call runs, or None."""
        if isinstance(call.func, ast.Name) and call.func.id in self._nested:
            return SourceFunction(self._module, self._nested[call.func.id], self._function.owner)
        name = self.name_of(call.func)
        return self._project.function(name) if name else None

    def is_foreign(self, name: str) -> bool:
        """Whether a full dotted name leads out of the project."""
        return bool(name) and not self._project.owns(name)

    def is_seeded(self, call: ast.Call) -> bool:
        """Whether a call makes random numbers that are the same each time."""
        return bool(call.args or call.keywords) and self.name_of(call.func) in _SEEDED

    def is_set(self, expression: ast.expr, hops: int = 0) -> bool:
        """Whether the value is a set for sure."""
        if hops > _MOST_HOPS:
            return False
        match expression:
            case ast.Set(elts=items):
                return len(items) > 1
            case ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id="set" | "frozenset" as name), args=arguments):
                return bool(arguments) and self.name_of(ast.Name(id=name)) == name
            case ast.Call(func=ast.Attribute(value=value, attr=method)):
                makes = ("union", "intersection", "difference", "symmetric_difference", "copy")
                return method in makes and self.is_set(value, hops + 1)
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return self.is_set(left, hops + 1)
            case ast.Name(id=name):
                values = self._values.get(name, [])
                return bool(values) and all(
                    value is not None and self.is_set(value, hops + 1) for value in values
                )
            case _:
                return False

    def _name(self, name: str, hops: int) -> str:
        if self._function.owner and name == self._self_name():
            return f"{self._module.name}.{self._function.owner}()"
        if name in self._imports:
            return self._imports[name]
        if name in self._values:
            return self._only(self._values[name], hops)
        if name in self._nested:
            return ""
        if name in self._module.imports:
            return self._module.imports[name]
        if name in self._module.definitions:
            return f"{self._module.name}.{name}"
        if name in self._module.assigned:
            return self._only(self._module.assigned[name], hops)
        return name if hasattr(builtins, name) else ""

    def _self_name(self) -> str:
        names = self._function.parameters
        return names[0].arg if names else ""

    def _only(self, values: list[ast.expr | None] | list[ast.expr], hops: int) -> str:
        """The name of what a variable holds, when only one thing is ever assigned to it."""
        if len(values) != 1 or values[0] is None:
            return ""
        return self.name_of(values[0], hops)


def _bound(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Names that a node binds, with the value where it is known."""
    known = dict(assignments(node))
    yield from known.items()
    targets: list[ast.expr] = []
    match node:
        case ast.Assign(targets=several):
            targets = [t for t in several if not isinstance(t, ast.Name)]
        case ast.For(target=target) | ast.AsyncFor(target=target):
            targets = [target]
        case ast.comprehension(target=target) | ast.AugAssign(target=target):
            targets = [target]
        case ast.ExceptHandler(name=str(name)):
            yield name, None
        case ast.withitem(optional_vars=ast.Tuple() as names):
            targets = [names]
        case _:
            return
    for target in targets:
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id, None

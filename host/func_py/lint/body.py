"""One function's body against the rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Protocol

from func_py.lint import tasks
from func_py.lint.modules import FunctionNode, SourceFunction
from func_py.lint.rules import (
    AWAIT,
    ENVIRONMENT,
    FOR_THE_LOG,
    SET_ORDER,
    UNKNOWN_FUNCTION,
    YIELD_FROM,
    YIELD_VALUE,
    Rule,
    rule_of_call,
)
from func_py.lint.scope import Scope

_ENVIRON = "os.environ"
_LOG_METHODS = frozenset(
    {"debug", "info", "warning", "error", "critical", "exception", "log", "print"}
)
_ORDERED = frozenset({"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "next"})
_UNORDERED = frozenset({"sorted", "set", "frozenset", "sum", "min", "max", "any", "all", "len"})


class Report(Protocol):
    """Takes a place and the rule that it breaks."""

    def __call__(self, node: ast.AST, rule: Rule, hint: str = "") -> None: ...


class Follow(Protocol):
    """Takes a called function, its parameters with the context, and whether it drives."""

    def __call__(
        self, function: SourceFunction, contexts: frozenset[str], drives: bool
    ) -> None: ...


class BodyCheck(ast.NodeVisitor):
    """Walks through a function, reports what breaks replay, and says which functions it calls.

    Args:
        function: The function.
        scope: Its names.
        contexts: Names of its parameters that hold the orchestration context.
        drives: Whether what it yields goes to the replay: it is the orchestrator itself, or runs
            in one with `yield from`.
        is_entry: Whether it is the orchestrator itself.
        known: Kind of durable function → lower-case name → name.
        report: Takes what is found.
        follow: Takes what is called.
    """

    def __init__(
        self,
        function: SourceFunction,
        scope: Scope,
        *,
        contexts: frozenset[str],
        drives: bool,
        is_entry: bool,
        known: Mapping[str, Mapping[str, str]],
        report: Report,
        follow: Follow,
    ) -> None:
        self._function = function
        self._scope = scope
        self._contexts = contexts
        self._drives = drives
        self._is_entry = is_entry
        self._known = known
        self._report = report
        self._follow = follow
        self._for_the_log = 0
        self._unordered: set[ast.AST] = set()
        self._run: set[ast.AST] = set()
        """Calls whose generator is run by the `yield from` around them."""

    def check(self) -> None:
        """Check the whole function."""
        node = self._function.node
        if isinstance(node, ast.AsyncFunctionDef):
            self._report(node, AWAIT)
            return
        for statement in node.body:
            self.visit(statement)
        for place, rule in tasks.unused(node, self._contexts, is_entry=self._is_entry):
            self._report(place, rule)
        for place, hint in tasks.misnamed(node, self._contexts, self._known):
            self._report(place, UNKNOWN_FUNCTION, hint)

    # ---- what is not ours to judge ---------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Its body counts where it is called."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Its body counts where it is called."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Its methods count where they are called."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Annotations are not run."""
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        """What happens only while not replaying is for the log."""
        self.visit(node.test)
        is_live = _is_live_test(node.test)
        self._for_the_log += is_live
        for statement in node.body:
            self.visit(statement)
        self._for_the_log -= is_live
        for statement in node.orelse:
            self.visit(statement)

    # ---- calls -----------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> None:
        """Calls of the outside world, and calls into the project."""
        name = self._scope.name_of(node.func)
        target = self._scope.target(node)
        if target is not None:
            self._called(node, target)
        elif self._scope.is_foreign(name) and not self._scope.is_seeded(node):
            rule = rule_of_call(name)
            if rule is not None:
                self._found(node, rule)
        self._consumed(node, name)
        is_log = _is_log(node, name)
        self._for_the_log += is_log
        self.generic_visit(node)
        self._for_the_log -= is_log

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """The environment is read as a value, not by a call."""
        if self._scope.name_of(node) == _ENVIRON:
            self._found(node, ENVIRONMENT)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """The same after `from os import environ`."""
        if isinstance(node.ctx, ast.Load) and self._scope.name_of(node) == _ENVIRON:
            self._found(node, ENVIRONMENT)

    def _called(self, node: ast.Call, target: SourceFunction) -> None:
        if tasks.is_registered(target.node):
            return
        is_run = node in self._run
        drives = is_run or (not self._function.is_generator and self._drives)
        contexts = tasks.passed_contexts(node, target, self._contexts)
        self._follow(target, contexts, drives)

    def _found(self, node: ast.AST, rule: Rule) -> None:
        if not (self._for_the_log and rule in FOR_THE_LOG):
            self._report(node, rule)

    # ---- waiting ---------------------------------------------------------------------------

    def visit_Await(self, node: ast.Await) -> None:
        """Only inside of nested async comprehensions; a coroutine cannot be an orchestrator."""
        self._report(node, AWAIT)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        """Runs a helper."""
        self._run.add(node.value)
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> None:
        """Must be of a task."""
        if self._drives and node.value is not None:
            target = self._generator(node.value)
            if target is not None:
                self._report(node.value, YIELD_FROM)
            elif tasks.is_no_task(node.value):
                self._report(node.value, YIELD_VALUE)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """A generator that is made and dropped."""
        if self._generator(node.value) is not None:
            self._report(node.value, YIELD_FROM)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """A generator with the context, whose result is taken for its value."""
        if self._generator(node.value, needs_context=True) is not None and not tasks.is_iterated(
            self._function.node, node.targets
        ):
            self._report(node.value, YIELD_FROM)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """The same, as the result of an orchestrator that yields itself."""
        if self._drives and self._function.is_generator and node.value is not None:
            target = self._generator(node.value, needs_context=True)
            if target is not None:
                self._report(node.value, YIELD_FROM)
        self.generic_visit(node)

    def _generator(self, value: ast.expr, *, needs_context: bool = False) -> SourceFunction | None:
        """The generator function of the project that a value is a call of."""
        if not isinstance(value, ast.Call):
            return None
        target = self._scope.target(value)
        if target is None or not target.is_generator or tasks.is_registered(target.node):
            return None
        if needs_context and not tasks.passed_contexts(value, target, self._contexts):
            return None
        return target

    # ---- order -----------------------------------------------------------------------------

    def _consumed(self, node: ast.Call, name: str) -> None:
        if name in _UNORDERED:
            self._unordered.update(node.args)
        elif name in _ORDERED or _is_join(node.func):
            for argument in node.args:
                self._in_order(argument)

    def visit_For(self, node: ast.For) -> None:
        """A loop whose body the order can leave."""
        if any(_shows_order(inner, self._contexts) for inner in _inside(node.body)):
            self._in_order(node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        """Makes an order."""
        self._comprehension(node, node.generators)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """Makes an order."""
        self._comprehension(node, node.generators)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        """Makes an order."""
        self._comprehension(node, node.generators)

    def _comprehension(self, node: ast.AST, generators: list[ast.comprehension]) -> None:
        if node not in self._unordered:
            for generator in generators:
                self._in_order(generator.iter)
        self.generic_visit(node)

    def _in_order(self, iterable: ast.expr) -> None:
        if self._scope.is_set(iterable):
            self._report(iterable, SET_ORDER)


def _is_log(node: ast.Call, name: str) -> bool:
    if name == "print":
        return True
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in _LOG_METHODS:
        return False
    holder = ast.unparse(node.func.value).lower()
    return name.startswith("logging.") or "log" in holder


def _is_live_test(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.UnaryOp)
        and isinstance(test.op, ast.Not)
        and isinstance(test.operand, ast.Attribute)
        and test.operand.attr == "is_replaying"
    )


def _is_join(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == "join"


def _inside(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if not isinstance(statement, FunctionNode):
            yield from ast.walk(statement)


def _shows_order(node: ast.AST, contexts: frozenset[str]) -> bool:
    match node:
        case ast.Yield() | ast.YieldFrom() | ast.Break() | ast.Return():
            return True
        case ast.Name(id=name):
            return name in contexts
        case ast.Call(func=ast.Attribute(attr="append" | "extend" | "insert")):
            return True
        case _:
            return False

"""Tasks of the orchestration context: how they are made, and whether anybody yields them."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping

from func_py.lint.modules import FunctionNode, SourceFunction, own_nodes
from func_py.lint.rules import TASK_NOT_YIELDED, Rule

_MAKERS = frozenset(
    {
        "call_activity",
        "call_activity_with_retry",
        "call_entity",
        "call_http",
        "call_sub_orchestrator",
        "call_sub_orchestrator_with_retry",
        "create_timer",
        "task_all",
        "task_any",
        "wait_for_external_event",
    }
)
"""Their tasks begin when they are yielded; signals begin at once."""

_KINDS = {
    "call_activity": "activity",
    "call_activity_with_retry": "activity",
    "call_sub_orchestrator": "orchestrator",
    "call_sub_orchestrator_with_retry": "orchestrator",
}
"""The kind of function that the first argument names."""

_REGISTERING = ("_trigger", "route", "schedule", "timer_trigger")
_CONTEXT_TYPE = "DurableOrchestrationContext"


def is_registered(node: FunctionNode) -> bool:
    """Whether a function belongs to the app as an activity, orchestrator, …: no plain function."""
    return any(
        isinstance(d, ast.Call)
        and isinstance(d.func, ast.Attribute)
        and d.func.attr.endswith(_REGISTERING)
        for d in node.decorator_list
    )


def passed_contexts(
    call: ast.Call, target: SourceFunction, contexts: frozenset[str]
) -> frozenset[str]:
    """The parameters of a called function that receive the orchestration context."""
    names = [parameter.arg for parameter in target.parameters]
    if target.owner:
        names = names[1:]
    found = {
        parameter.arg
        for parameter in target.parameters
        if parameter.annotation is not None
        and ast.unparse(parameter.annotation).strip("\"'").endswith(_CONTEXT_TYPE)
    }
    for name, argument in zip(names, call.args, strict=False):
        if isinstance(argument, ast.Name) and argument.id in contexts:
            found.add(name)
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Name) and keyword.value.id in contexts and keyword.arg:
            found.add(keyword.arg)
    return frozenset(found)


def unused(
    function: FunctionNode, contexts: frozenset[str], *, is_entry: bool
) -> Iterator[tuple[ast.AST, Rule]]:
    """Tasks that are made and never used for anything."""
    loaded = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for node in own_nodes(function):
        value: ast.expr | None = None
        match node:
            case ast.Expr():
                value = node.value
            case ast.Assign(targets=[ast.Name(id=name)]) if name not in loaded:
                value = node.value
            case ast.Return() if is_entry:
                value = node.value
            case _:
                pass
        if value is not None and _makes_task(value, contexts):
            yield value, TASK_NOT_YIELDED


def misnamed(
    function: FunctionNode, contexts: frozenset[str], known: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[ast.AST, str]]:
    """Calls of durable functions by a name that nobody has, each with what to do."""
    for node in own_nodes(function):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=holder), attr=method)):
                kind, name = _KINDS.get(method, ""), _named(node)
            case _:
                continue
        names = known.get(kind)
        if holder not in contexts or names is None or not name or name.lower() in names:
            continue
        near = difflib.get_close_matches(name.lower(), names, n=1)
        article = "an" if kind[0] in "ao" else "a"
        hint = f"Did you mean '{names[near[0]]}'?" if near else f"Register {article} {kind} of it."
        yield node, hint


def is_no_task(value: ast.expr) -> bool:
    """Whether a yielded value is surely no task."""
    match value:
        case ast.Constant(value=None):
            return False  # Some write it in unreachable code, to have a generator.
        case ast.Constant() | ast.JoinedStr() | ast.Await():
            return True
        case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
            return True
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return True
        case _:
            return False


def is_iterated(function: FunctionNode, targets: list[ast.expr]) -> bool:
    """Whether one of these names is gone through, or handed on to something that may do so."""
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if len(names) != len(targets):
        return True
    for node in ast.walk(function):
        parts: list[ast.expr] = []
        match node:
            case ast.YieldFrom(value=value):
                parts = [value]
            case ast.For(iter=iterable) | ast.comprehension(iter=iterable):
                parts = [iterable]
            case ast.Call(args=arguments, keywords=keywords):
                parts = [*arguments, *(keyword.value for keyword in keywords)]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                parts = items
            case ast.Attribute(value=value):
                parts = [value]
            case ast.Return(value=ast.Name() as value):
                parts = [] if _yields(function) else [value]
            case _:
                pass
        if any(isinstance(part, ast.Name) and part.id in names for part in parts):
            return True
    return False


def _named(call: ast.Call) -> str:
    """The literal name in the first argument of a call, or an empty text."""
    keywords = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
    match [*call.args[:1], *keywords]:
        case [ast.Constant(value=str(name))]:
            return name
        case _:
            return ""


def _yields(function: FunctionNode) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(function))


def _makes_task(value: ast.expr, contexts: frozenset[str]) -> bool:
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
            return name in contexts and method in _MAKERS
        case ast.List(elts=items):
            return any(_makes_task(item, contexts) for item in items)
        case ast.ListComp(elt=item):
            return _makes_task(item, contexts)
        case _:
            return False

"""How durable functions are named: what the three durable triggers have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from func_py_bindings.contract import BindingSpec, FunctionSpec, user_code

DurableKind = Literal["orchestrator", "activity", "entity"]

_NAME_PROPERTY: Mapping[str, tuple[DurableKind, str]] = {
    "orchestrationtrigger": ("orchestrator", "orchestration"),
    "activitytrigger": ("activity", "activity"),
    "entitytrigger": ("entity", "entityName"),
}


@dataclass(frozen=True, slots=True, eq=False)
class DurableFunction:
    """One orchestrator, activity or entity.

    `name` is the durable name: the trigger's name property or else the function's name. `aliases`
    are further names it answers to, because the SDK passes a function object by its `__name__`.
    """

    kind: DurableKind
    name: str
    aliases: tuple[str, ...]
    spec: FunctionSpec


def describe(spec: FunctionSpec) -> DurableFunction | None:
    """The durable side of a function, or None when its trigger is not a durable one."""
    known = _NAME_PROPERTY.get(spec.trigger.type.lower())
    if known is None:
        return None
    kind, key = known
    name = str(spec.trigger.get(key) or spec.name)
    aliases = dict.fromkeys(
        alias for alias in (spec.name, spec.python_name) if alias.lower() != name.lower()
    )
    return DurableFunction(kind, name, tuple(aliases), spec)


def durable_functions(
    functions: Iterable[FunctionSpec], kind: DurableKind
) -> list[DurableFunction]:
    """All functions of one kind, in the order given."""
    described = (describe(spec) for spec in functions)
    return [durable for durable in described if durable is not None and durable.kind == kind]


def by_name(functions: Iterable[DurableFunction]) -> dict[str, DurableFunction]:
    """Lower-case names to functions.

    A durable name beats an alias; an alias that two functions claim belongs to none.
    """
    table: dict[str, DurableFunction] = {}
    aliases: dict[str, DurableFunction | None] = {}
    for function in functions:
        table[function.name.lower()] = function
        for alias in function.aliases:
            key = alias.lower()
            aliases[key] = None if key in aliases else function
    for alias, target in aliases.items():
        if target is not None:
            table.setdefault(alias, target)
    return table


def check_context(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    """Problems of the parameters of an orchestrator or entity function."""
    try:
        inspect.signature(user_code(function)).bind(object())
    except TypeError:
        yield f"it must take exactly one argument, its context ('{binding.name}')."
    except ValueError:
        pass  # A builtin without a signature: nothing can be said about it.

"""The orchestration trigger. The engine drives the function; here it is only recognised."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from func_py_bindings.contract import BindingSpec, BindingType, user_code
from func_py_bindings.durable_function import check_context


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    name = str(binding.get("orchestration") or "")
    if name.startswith("@"):
        yield f"the orchestration name '{name}' must not start with '@'."
    code = user_code(function)
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        yield (
            "an orchestrator function cannot be 'async def': it is driven step by step. "
            "Write 'def' and 'yield' the tasks."
        )
    yield from check_context(binding, function)


TYPES = (
    BindingType(
        "orchestrationTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        implicit_output=True,
        check=_check,
    ),
)

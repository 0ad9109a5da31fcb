"""The orchestration trigger. The engine drives the function; here it is only recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from func_py_bindings.contract import BindingSpec, BindingType
from func_py_bindings.durable_function import check_generator


def _check(binding: BindingSpec, function: Callable[..., Any]) -> Iterator[str]:
    name = str(binding.get("orchestration") or "")
    if name.startswith("@"):
        yield f"the orchestration name '{name}' must not start with '@'."
    yield from check_generator(binding, function)


TYPES = (
    BindingType(
        "orchestrationTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        implicit_output=True,
        check=_check,
    ),
)

"""The entity trigger. The engine runs the operations; here it is only recognised."""

from __future__ import annotations

from func_py_bindings.contract import BindingType
from func_py_bindings.durable_function import check_generator

TYPES = (
    BindingType(
        "entityTrigger",
        directions=frozenset({"in"}),
        is_trigger=True,
        implicit_output=True,
        check=check_generator,
    ),
)

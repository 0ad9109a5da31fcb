"""Whether an app needs storage; only then is what speaks to it imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from func_py.config.settings import HostConfig
from func_py.discovery import imports_of_ours
from func_py_bindings.contract import FunctionSpec

if TYPE_CHECKING:
    from func_py.runtime.storage import Storage

_TYPES = frozenset({"queuetrigger", "queue", "blobtrigger", "blob", "table"})


def uses_storage(functions: Iterable[FunctionSpec]) -> bool:
    """Does a function have a binding to Azure Storage?"""
    return any(b.type.lower() in _TYPES for function in functions for b in function.bindings)


def storage_of(
    config: HostConfig, functions: Sequence[FunctionSpec], *, development: bool
) -> Storage:
    """The storage of an app that uses it; the caller closes it."""
    with imports_of_ours({function.app_root for function in functions}):
        from func_py.runtime.storage import Storage
    return Storage(config, development=development)

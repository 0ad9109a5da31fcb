"""Binding types by name. The one place that knows which types exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from func_py_bindings import (
    activity,
    blob,
    durable_client,
    entity,
    http,
    orchestration,
    queue,
    table,
    timer,
    warmup,
)
from func_py_bindings.contract import BindingType


class Registry:
    """Binding types by name, in any case."""

    def __init__(self, types: Iterable[BindingType]) -> None:
        self._types = {t.name.lower(): t for t in types}

    def find(self, name: str) -> BindingType | None:
        """The type of this name, or None."""
        return self._types.get(name.lower())

    @property
    def names(self) -> list[str]:
        """Names of all types, sorted."""
        return sorted(t.name for t in self._types.values())

    def unknown(self, name: str) -> str:
        """The sentence that tells a user that `name` is no type we have."""
        near = difflib.get_close_matches(name.lower(), self._types, n=1)
        hint = f" Did you mean '{self._types[near[0]].name}'?" if near else ""
        return (
            f"the binding type '{name}' is not supported.{hint} "
            f"Supported types: {', '.join(self.names)}."
        )


def default_registry() -> Registry:
    """Every type that comes with the host."""
    return Registry(
        (
            *http.TYPES,
            *orchestration.TYPES,
            *activity.TYPES,
            *entity.TYPES,
            *durable_client.TYPES,
            *queue.TYPES,
            *blob.TYPES,
            *table.TYPES,
            *timer.TYPES,
            *warmup.TYPES,
        )
    )

"""The durable functions of the app, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from func_py.durable.model import ActivityResult, ActivityTask
from func_py.errors import FunctionNotRegistered


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorFunction:
    """A registered orchestrator. `function` is what the SDK registered for it."""

    name: str
    function: Callable[..., Any]
    input_type: type | None = None


class ActivityRunner(Protocol):
    """Runs activity functions; the host's invocation implements it."""

    async def run(self, task: ActivityTask) -> ActivityResult:
        """Call the function once. A failure of user code is data in the answer.

        Raises:
            FunctionNotRegistered: No activity function has this name.
        """
        ...

    def thread_limit(self, name: str) -> int:
        """How many threads there are for a function of this name and others like it.

        0 when it needs none.
        """
        ...


class FunctionTable:
    """Looks durable functions up, ignoring case, by durable name or any alias."""

    def __init__(
        self,
        orchestrators: Mapping[str, OrchestratorFunction],
        activities: Iterable[str],
        entities: Iterable[str] = (),
    ) -> None:
        """Keys and names are durable names or aliases of them (function name, Python name)."""
        self._orchestrators = {name.lower(): item for name, item in orchestrators.items()}
        self._names: dict[str, dict[str, str]] = {
            "orchestrator": {item.name.lower(): item.name for item in orchestrators.values()},
            "activity": {name.lower(): name for name in activities},
            "entity": {name.lower(): name for name in entities},
        }

    def orchestrator(self, name: str) -> OrchestratorFunction | None:
        """The orchestrator of this name, or None."""
        return self._orchestrators.get(name.lower())

    def activities(self) -> Sequence[str]:
        """Names of the activities that are registered here, in lower case."""
        return sorted(self._names["activity"])

    def has_activity(self, name: str) -> bool:
        """Is an activity of this name registered here?"""
        return name.lower() in self._names["activity"]

    def has_entity(self, name: str) -> bool:
        """Is an entity of this name registered here?"""
        return name.lower() in self._names["entity"]

    def missing(self, kind: str, name: str) -> FunctionNotRegistered:
        """The error for a name that is not registered, with the nearest known one."""
        known = self._names[kind]
        near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
        return FunctionNotRegistered(
            kind, name, sorted(known.values()), known[near[0]] if near else None
        )

    def published(self) -> Sequence[str]:
        """What the host record tells the other hosts of the hub: `kind:name`, lower case."""
        names = [f"{kind}:{name}" for kind, known in self._names.items() for name in known]
        names.extend(f"orchestrator:{alias}" for alias in self._orchestrators)
        return sorted(set(names))

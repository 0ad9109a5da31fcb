"""How many orchestrations of a host may be at a turn: host.json maxConcurrentOrchestratorFunctions.

An orchestration is at a turn from when it is loaded for it, or its code begins, until the store has
answered. The code itself runs one turn after another whatever the limit; what the limit bounds is
how much is loaded and how much is on its way to the store at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class TurnLimit:
    """Shared by the partitions of a host, which pump their turns when there is room."""

    def __init__(self, limit: int | None) -> None:
        """`limit` None: as many as come."""
        self._free: float = math.inf if limit is None else limit
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def has_room(self) -> bool:
        """May another orchestration have a turn?"""
        return self._free > 0

    def take(self) -> None:
        """An orchestration is at a turn. Whoever has not looked for room may take too many."""
        self._free -= 1

    def give(self, count: int) -> None:
        """So many turns have ended."""
        self._free += count
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._share_out)

    def _share_out(self) -> None:
        """Let pump who waited longest; who wants more than there was comes back at the end."""
        while self._waiting and self.has_room:
            pump = next(iter(self._waiting))
            del self._waiting[pump]
            pump()

    def wait(self, pump: Callable[[], None]) -> None:
        """Have `pump` called when there is room; twice is once."""
        self._waiting[pump] = None

    def lift(self) -> None:
        """The host stops: what is ready must not wait for others any more."""
        self._free = math.inf
        self.give(0)

"""Which instances of a partition have a turn to run, and whose turn it is."""

from __future__ import annotations

from collections import deque

from func_py.durable.engine.slot import Slot
from func_py.durable.engine.turn_limit import TurnLimit


class ReadySlots:
    """First come, first served; but entities pass by orchestrations for which there is no room."""

    def __init__(self, turns: TurnLimit) -> None:
        self._turns = turns
        self._ready: deque[Slot] = deque()
        self._held: deque[Slot] = deque()
        """The host is at as many turns of orchestrations as it may."""

    def __bool__(self) -> bool:
        return bool(self._ready or self._held)

    @property
    def has_next(self) -> bool:
        """Would `take` find one, as far as can be told without looking at each?"""
        return bool(self._ready) or (bool(self._held) and self._turns.has_room)

    def put(self, slot: Slot) -> None:
        """Add a slot at the end."""
        self._ready.append(slot)

    def take(self) -> Slot | None:
        """The slot whose turn it is; None when all that are left wait for room."""
        has_room = self._turns.has_room
        if self._held and has_room:
            return self._held.popleft()
        while self._ready:
            slot = self._ready.popleft()
            if has_room or slot.is_entity:
                return slot
            self._held.append(slot)
        return None

    def clear(self) -> None:
        """Forget them all."""
        self._ready.clear()
        self._held.clear()

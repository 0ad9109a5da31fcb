"""Who wants to know at once that this process has written to some place in storage."""

from __future__ import annotations

from collections.abc import Callable


class Wakes:
    """Rings at the places that listeners of this process watch: URLs of queues and containers.

    What other processes write is found by looking.
    """

    def __init__(self) -> None:
        self._wakers: dict[str, list[Callable[[], None]]] = {}

    def subscribe(self, place: str, wake: Callable[[], None]) -> None:
        """Call `wake` after every write to a place. It must be quick and not raise."""
        self._wakers.setdefault(place.lower(), []).append(wake)

    def ring(self, place: str) -> None:
        """Something was written there."""
        for wake in self._wakers.get(place.lower(), ()):
            wake()

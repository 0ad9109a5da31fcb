"""How long to wait before a dead child is started again."""

from __future__ import annotations


class Backoff:
    """Doubling delays; a child that lived long enough starts the count anew.

    Args:
        first_s: Delay after the first death.
        most_s: Longest delay.
        healthy_s: A child that was ready for this long was healthy.
    """

    def __init__(
        self, *, first_s: float = 0.1, most_s: float = 10.0, healthy_s: float = 30.0
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._healthy_s = healthy_s
        self._next_s = first_s

    def delay_s(self, ready_for_s: float) -> float:
        """Seconds to wait after a child that was ready for so long has died."""
        if ready_for_s >= self._healthy_s:
            self._next_s = self._first_s
        delay = self._next_s
        self._next_s = min(delay * 2, self._most_s)
        return delay

"""What to do while the task hub does not answer: say so once, and try again after a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta

from func_py.clock import Clock, Timer
from func_py.durable.engine.slot import Slot

log = logging.getLogger("func_py.durable.engine")

_FIRST_PAUSE = timedelta(milliseconds=100)
_LONGEST_PAUSE = timedelta(seconds=30)


class Outage:
    """Tells people; one per engine.

    `what` names a kind of call; an outage ends when no kind fails any more.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self.failures = 0
        """Calls that failed since the beginning."""

    @property
    def is_on(self) -> bool:
        """Does the task hub not answer now?"""
        return bool(self._failing)

    def began(self, what: str, error: Exception) -> None:
        """A call failed; only the first one of an outage is worth a line."""
        if not self._failing:
            log.warning("The task hub does not answer; work goes on when it does. %s", error)
        self._failing.add(what)
        self.failures += 1

    def ended(self, what: str, since: int) -> None:
        """A call of this kind succeeded; `since` is `failures` as it was when the call began.

        An answer to a question from before the outage says nothing about its end.
        """
        if what in self._failing and since == self.failures:
            self._failing.discard(what)
            if not self._failing:
                log.warning("The task hub answers again.")


class Retries:
    """Instances whose turn or load must be repeated; one growing pause for all of a partition."""

    def __init__(self, clock: Clock, again: Callable[[Slot], None]) -> None:
        self._clock = clock
        self._again = again
        self._waiting: list[Slot] = []
        self._alarm: Timer | None = None
        self._pause = _FIRST_PAUSE

    def add(self, slots: Iterable[Slot]) -> None:
        """The store did not answer for these."""
        self._waiting.extend(slots)
        if self._alarm is None:
            self._alarm = self._clock.call_at(self._clock.now() + self._pause, self._release)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def answered(self) -> None:
        """The store has committed something: nobody needs to wait any longer."""
        self._pause = _FIRST_PAUSE
        if self._alarm is not None:
            self._alarm.cancel()
            self._release()

    def close(self) -> None:
        """Repeat nothing any more."""
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _release(self) -> None:
        self._alarm = None
        slots, self._waiting = self._waiting, []
        for slot in slots:
            self._again(slot)

"""How many activity calls may wait in line for a thread, beside those that run."""

from __future__ import annotations

LONGEST_LINE = 64
"""Calls, at most."""
_SHORT_S = 0.02


class Line:
    """The line of calls before the threads that plain functions run in.

    There are a few threads. A call that waits for one is in hand and does not run, so it need not
    count against the limit of those that do; and with a line the threads go on without the event
    loop in between, and the results of many calls come together. But what is in line no other host
    can take, and it stands before everything else that needs a thread. So the line grows while
    calls take next to no time from joining to result, and goes when they do not.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._expected = 0
        self._threads = 0
        self._length = 0
        self.waiting = 0
        """Calls in hand that do not run, because there are not threads enough."""

    def expect(self, threads: int) -> None:
        """A call is about to be taken in hand that needs one of so many threads."""
        self._expected += 1
        self._threads = threads
        self._count()

    def arrive(self, coming: int) -> None:
        """A call is in hand, whether it needs a thread or not; `coming`: how many still are not."""
        if self._expected:
            self._expected = min(self._expected - 1, coming)
            self._count()

    def join(self, threads: int) -> None:
        """A call is about to be given to one of so many threads."""
        self._calls += 1
        self._threads = threads
        self._count()

    def leave(self, took_s: float) -> None:
        """It ended, so many seconds after it joined."""
        self._calls -= 1
        if took_s < _SHORT_S:
            self._length = min(LONGEST_LINE, self._length + 1)
        else:
            self._length //= 2
        self._count()

    def _count(self) -> None:
        too_many = self._calls + self._expected - self._threads
        self.waiting = min(max(0, too_many), self._length)

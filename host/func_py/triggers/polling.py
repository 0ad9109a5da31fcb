"""Pauses between two looks at something that does not say by itself when it has changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

from func_py.clock import Clock

_JITTER = 0.2


class Pauses:
    """Pauses that grow while nothing is found, and end at once when woken.

    Args:
        clock: What it waits by.
        shortest: The first pause after something was found.
        longest: The pause that no other exceeds.
        uniform: Random numbers between two bounds, so that hosts do not look all at once.
    """

    def __init__(
        self,
        clock: Clock,
        shortest: timedelta,
        longest: timedelta,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._shortest = shortest
        self._longest = longest
        self._uniform = uniform
        self._next = shortest
        self._woken = asyncio.Event()

    def reset(self) -> None:
        """Something was found: the next pause is short again."""
        self._next = self._shortest

    def wake(self) -> None:
        """End the pause that is, or else the next one."""
        self._woken.set()

    async def pause(self) -> None:
        """Wait for the time or for `wake`, whichever comes first."""
        length = min(self._next, self._longest)
        self._next = min(self._next * (2 + self._uniform(-_JITTER, _JITTER)), self._longest)
        timer = self._clock.call_at(self._clock.now() + length, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
            self._woken.clear()

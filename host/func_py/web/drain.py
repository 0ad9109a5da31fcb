"""Draining: before a platform takes a host away, it stops looking for work and finishes what runs.

HTTP goes on meanwhile: to stop sending requests is the platform's part.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

logger = logging.getLogger(__name__)

DrainState = Literal["Disabled", "InProgress", "Completed"]

StopListening = Callable[[], Awaitable[None]]
"""Stops a source of work, and waits for what it has begun. Called once at most."""


class Drain:
    """Stops every source of work at once, on request. There is no way back but a new process.

    Args:
        outstanding: How many invocations are running.
    """

    def __init__(self, outstanding: Callable[[], int]) -> None:
        self._listeners: list[StopListening] = []
        self._outstanding = outstanding
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> DrainState:
        """Whether draining was asked for, and whether anything still runs."""
        if self._task is None:
            return "Disabled"
        is_over = self._task.done() and not self._outstanding()
        return "Completed" if is_over else "InProgress"

    @property
    def outstanding(self) -> int:
        """How many invocations are running."""
        return self._outstanding()

    def add(self, stop: StopListening) -> None:
        """Put a source of work under this drain, once it runs."""
        self._listeners.append(stop)

    def start(self) -> None:
        """Begin to drain; returns at once. Again is no error."""
        if self._task is None:
            logger.warning("Draining: no more work is looked for.")
            self._task = asyncio.ensure_future(self._stop_all())

    async def close(self) -> None:
        """Wait for a drain that has begun."""
        if self._task is not None:
            await self._task

    async def _stop_all(self) -> None:
        stops = (stop() for stop in self._listeners)
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(error, BaseException):
                logger.error("A source of work did not stop.", exc_info=error)

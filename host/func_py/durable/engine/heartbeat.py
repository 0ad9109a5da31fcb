"""Keeps a host that the others may take for dead from beginning anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from func_py.durable.engine.outage import Outage
from func_py.durable.storage.base import TaskHub
from func_py.errors import StorageUnavailable

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Heartbeat:
    """Asked before each beginning. A host that is overdue renews, and finds out what it lost."""

    def __init__(self, hub: TaskHub, renew: Callable[[], Awaitable[None]], outage: Outage) -> None:
        """`renew` gives a sign of life, and lets go of what is not ours any more."""
        self._hub = hub
        self._renew = renew
        self._outage = outage
        self._renewing: asyncio.Task[None] | None = None
        self._waiting: list[Callable[[], None]] = []

    @property
    def is_fresh(self) -> bool:
        """May something begin?"""
        if self._renewing is None and not self._hub.is_overdue:
            return True
        if self._renewing is None:
            self._renewing = asyncio.ensure_future(self._renew_now())
        return False

    def then(self, callback: Callable[[], None]) -> None:
        """Call when something may begin again."""
        self._waiting.append(callback)

    async def wait(self) -> None:
        """Return when something may begin."""
        while not self.is_fresh:
            fresh = asyncio.Event()
            self.then(fresh.set)
            await fresh.wait()

    def close(self) -> None:
        """Renew no more."""
        if self._renewing is not None:
            self._renewing.cancel()

    async def _renew_now(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                await self._renew()
                break
            except StorageUnavailable as error:
                self._outage.began("heartbeat", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._outage.ended("heartbeat", failures)
        self._renewing = None
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

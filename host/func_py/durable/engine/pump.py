"""Runs the turns of a partition, one slice of the event loop at a time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence

from func_py.durable.engine.parts import Parts
from func_py.durable.engine.ready import ReadySlots
from func_py.durable.engine.slot import Running, Slot


class Pump:
    """Begins the turns of the slots that are ready, and gives those of a slice to `commit`.

    Nothing begins while the host may be taken for dead, nor an orchestration beyond the limit of
    those at a turn.
    """

    def __init__(
        self,
        parts: Parts,
        begin: Callable[[Slot], Running | None],
        commit: Callable[[Sequence[Running]], object],
    ) -> None:
        """`begin` is asked for each slot in its turn, whether or not there is something to do."""
        self._parts = parts
        self._begin = begin
        self._commit = commit
        self._ready = ReadySlots(parts.turns)
        self._is_due = False
        self._closed = False
        self._context = contextvars.copy_context()

    @property
    def has_next(self) -> bool:
        """Is there a slot that could have its turn?"""
        return self._ready.has_next

    def enqueue(self, slot: Slot) -> None:
        """Let a slot have a turn, behind the others; it must not be in the queue yet."""
        slot.queued = True
        self._ready.put(slot)
        self._run_soon()

    def run(self) -> None:
        """Run turns for one slice of the loop, then hand them to the store together."""
        self._is_due = False
        if self._closed:
            return
        if not self._parts.heartbeat.is_fresh:
            self._parts.heartbeat.then(self._run_soon)
            return
        batch: list[Running] = []
        for _ in range(self._parts.options.turns_per_slice):
            slot = self._ready.take()
            if slot is None:
                break
            slot.queued = False
            running = self._begin(slot)
            if running is not None:
                batch.append(running)
        if batch:
            self._commit(batch)
        if self._ready.has_next:
            self._run_soon()
        elif self._ready:
            self._parts.turns.wait(self.run)

    def clear(self) -> None:
        """Forget what is ready."""
        self._ready.clear()

    def close(self) -> None:
        """Run nothing more."""
        self._closed = True
        self._ready.clear()

    def _run_soon(self) -> None:
        if not self._is_due and not self._closed:
            self._is_due = True
            # Not in the context of the caller, which may be an activity with variables of its own.
            context = self._context.copy()
            asyncio.get_running_loop().call_soon(self.run, context=context)

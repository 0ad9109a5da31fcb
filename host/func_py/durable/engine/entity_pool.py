"""Runs batches of entity operations, a bounded number at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from func_py.durable.engine.functions import FunctionTable
from func_py.durable.engine.poison import Poison
from func_py.durable.faults import reach
from func_py.durable.model import EntityBatch, EntityResult
from func_py.durable.storage.base import TaskKey

log = logging.getLogger("func_py.durable.entities")


class EntityRunner(Protocol):
    """Runs entity functions; the host's invocation implements it."""

    async def run(self, batch: EntityBatch) -> EntityResult:
        """Run operations in order, from the first; what user code raises is data in the answer.

        With fewer results than operations, the rest has not run. There is always one.

        Raises:
            FunctionNotRegistered: No entity function has this name.
        """
        ...


class NoEntities:
    """The runner of an app without entities."""

    def __init__(self, functions: FunctionTable) -> None:
        self._functions = functions

    async def run(self, batch: EntityBatch) -> EntityResult:
        """See `EntityRunner.run`."""
        raise self._functions.missing("entity", batch.name)


class EntityPool:
    """What the entities of a host's partitions share: the runner, and a limit on how many run."""

    def __init__(self, runner: EntityRunner, limit: int, poison: Poison) -> None:
        self._runner = runner
        self._free = asyncio.Semaphore(limit)
        self._poison = poison
        self._running: set[asyncio.Task[EntityResult]] = set()
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Do as many run as may?"""
        return self._free.locked()

    async def run(self, batch: EntityBatch, notes: Sequence[TaskKey]) -> EntityResult | None:
        """Run a batch; None when the pool was closed before it ended.

        Args:
            batch: The operations.
            notes: What is in hand meanwhile, for when the process dies of it.

        Raises:
            Exception: What the runner raises.
        """
        async with self._free:
            if self._closed:
                return None
            running = asyncio.ensure_future(self._noted(batch, notes))
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            await asyncio.wait([running])
        return None if running.cancelled() else running.result()

    async def _noted(self, batch: EntityBatch, notes: Sequence[TaskKey]) -> EntityResult:
        handles = [self._poison.begin_activity(note) for note in notes]
        reach("entity.before_run")
        try:
            return await self._runner.run(batch)
        finally:
            reach("entity.after_run")
            for handle in handles:
                self._poison.end_activity(handle)

    async def close(self, grace: float) -> None:
        """Start nothing more; give running batches `grace` seconds, then give them up."""
        self._closed = True
        if not self._running:
            return
        _, pending = await asyncio.wait(self._running, timeout=grace)
        for running in pending:
            running.cancel()
        if pending:
            log.warning(
                "%d entity turn(s) did not finish in time; their operations run again at the next "
                "start.",
                len(pending),
            )
            await asyncio.wait(pending)

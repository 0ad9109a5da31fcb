"""Work that kills the process: noted while in hand, not run again after three unclean deaths."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path

from func_py.durable.engine.in_hand import Blame, InHand, examine
from func_py.durable.storage.base import TaskKey
from func_py.errors import PoisonousWork

log = logging.getLogger("func_py.durable.engine")


class Poison:
    """Knows what is in hand now and what was in hand at earlier deaths.

    Without a directory, or when it cannot be written, nothing is noted and nobody blamed.
    """

    def __init__(self, directory: Path | None, host_id: str, activities: int) -> None:
        self._directory = directory
        self._host_id = host_id
        self._activities = activities
        self._hand: InHand | None = None
        self._blame: Blame | None = None
        self.singly = asyncio.Lock()
        """Held by a call that is suspected: the next death then blames one call, not ten."""

    async def examine(self, live_hosts: Collection[str]) -> None:
        """Learn what dead hosts had in hand. Before their partitions are recovered."""
        if self._directory is None:
            return
        hosts = {*live_hosts, self._host_id}
        try:
            self._blame = await asyncio.to_thread(examine, self._directory, hosts)
            if self._hand is None:
                self._hand = InHand.open(
                    self._directory, self._host_id, activities=self._activities
                )
        except OSError as error:
            log.warning("Work in hand is not noted, crashes will not be blamed on it: %s", error)
            self._directory = None

    def turn_problem(self, instance_id: str, execution_id: str) -> PoisonousWork | None:
        """Why a turn of this execution must not run, or None."""
        if self._blame is not None and self._blame.condemns_turn(instance_id, execution_id):
            return PoisonousWork("The orchestrator")
        return None

    def activity_problem(self, key: TaskKey, name: str) -> PoisonousWork | None:
        """Why this call must not run, or None."""
        if self._blame is not None and self._blame.condemns_activity(key):
            return PoisonousWork(f"The activity '{name}'")
        return None

    def operation_problem(
        self, entity: TaskKey, operation: TaskKey, name: str
    ) -> PoisonousWork | None:
        """Why this operation must not run, or None.

        Operations are in hand in batches, so the entity is condemned first; then it is the one
        that was in hand at the last death.
        """
        blame = self._blame
        if blame is None or not blame.condemns_activity(entity):
            return None
        return (
            PoisonousWork(f"The operation '{name}'") if blame.suspects_activity(operation) else None
        )

    def is_suspect(self, key: TaskKey) -> bool:
        """Was this call in hand at the last death?"""
        return self._blame is not None and self._blame.suspects_activity(key)

    def begin_turn(self, instance_id: str, execution_id: str) -> None:
        """Orchestrator code is about to run."""
        if self._hand is not None:
            self._hand.begin_turn(instance_id, execution_id)

    def end_turn(self) -> None:
        """Orchestrator code gave control back."""
        if self._hand is not None:
            self._hand.end_turn()

    def begin_activity(self, key: TaskKey) -> int:
        """An activity call is about to run; the answer goes to `end_activity`."""
        return self._hand.begin_activity(key) if self._hand is not None else 0

    def end_activity(self, handle: int) -> None:
        """The call ended."""
        if self._hand is not None:
            self._hand.end_activity(handle)

    def turn_settled(self, instance_id: str, execution_id: str) -> None:
        """A turn of the execution is stored: it did no harm, or its quarantine is recorded."""
        if self._blame is not None:
            self._blame.clear_turn(instance_id, execution_id)

    def activities_settled(self, keys: Collection[TaskKey]) -> None:
        """Results of these calls are stored, or their quarantine is about to be."""
        if self._blame is not None:
            for key in keys:
                self._blame.clear_activity(key)

    def close(self) -> None:
        """A clean end begins: what is still in hand from here on is not to blame."""
        if self._hand is not None:
            self._hand.close()
            self._hand = None

"""What a partition and those that work for it ask of each other."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from func_py.durable.engine.slot import Item, Running, Slot
from func_py.durable.storage.base import Lease


class Owner(Protocol):
    """What a processor may ask of the partition it works for."""

    lease: Lease

    def enqueue(self, slot: Slot) -> None:
        """Let the slot have a turn when it has something in its inbox."""
        ...

    def load(self, slot: Slot, *, history: bool) -> None:
        """Fill the slot from the store; it is busy until then, and enqueued afterwards."""
        ...

    def fetch(self, slot: Slot, items: Sequence[Item]) -> None:
        """Read payloads that were withheld; the slot is busy until then, and run after it."""
        ...

    def discard(self, items: Sequence[Item]) -> None:
        """Delete from the store what no turn will take."""
        ...

    def forget(self, slot: Slot) -> None:
        """Hold nothing of this instance any more."""
        ...

    def submit(self, running: Running) -> None:
        """Commit a turn that was not the answer of `begin`."""
        ...

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something in the background; an exception in it drops the partition."""
        ...

    def operate(self, work: Coroutine[None, None, None]) -> None:
        """The same for code of entities, which takes its time."""
        ...


class Processor(Protocol):
    """What is done with instances of one kind."""

    def begin(self, slot: Slot) -> Running | None:
        """Start a turn of a slot that is not busy and has something in its inbox.

        None: nothing is to be stored now; a turn that is found later is submitted.
        """
        ...

    def quarantine(self, slot: Slot, error: Exception) -> Running | None:
        """The instance cannot be run; keep it from taking anything else down."""
        ...

    def refused(self, slot: Slot, detail: str) -> None:
        """The store will not take the values of a turn, and nobody else's turn suffered."""
        ...

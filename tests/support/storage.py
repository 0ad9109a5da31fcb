"""Queues on the emulator for tests, under names that no other test has."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from func_py.clock import Clock, RealClock
from func_py.storage.connections import StorageConnections
from func_py.storage.queues import Queue, Queues
from func_py.storage.wakes import Wakes
from func_py.triggers.queues import Handle, QueueListener, QueueOptions
from func_py_bindings.queue import QueueDelivery

LIMIT_S = 20.0

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Ask until the answer is something true, and return that."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            result = await check()
            if result:
                return result
            await asyncio.sleep(0.01)
    raise AssertionError(what)


class Site:
    """Connections to the emulator; `wakes` rings for what is written through them."""

    def __init__(self, connection_string: str) -> None:
        self.connections = StorageConnections({"AzureWebJobsStorage": connection_string})
        self.wakes = Wakes()
        self.id = uuid.uuid4().hex[:12]

    def queue(self, name: str = "q", *, is_base64: bool = True) -> Queue:
        """A queue of this test."""
        queues = Queues(self.connections, self.wakes, is_base64=is_base64)
        return queues.queue("", f"{name}-{self.id}")

    @asynccontextmanager
    async def listening(
        self,
        handle: Handle,
        *,
        queue: Queue | None = None,
        poison: Queue | None = None,
        clock: Clock | None = None,
        grace_s: float = 10,
        **options: int | timedelta,
    ) -> AsyncIterator[QueueListener]:
        """A listener to a queue of this test, which does not look again before it is woken."""
        listener = QueueListener(
            "The trigger of 'f'",
            queue or self.queue(),
            lambda _: poison,
            handle,
            queue_options(**options),
            clock or RealClock(),
        )
        self.wakes.subscribe(listener.place, listener.wake)
        listener.start()
        try:
            yield listener
        finally:
            await listener.stop(grace_s)


def queue_options(**changed: int | timedelta) -> QueueOptions:
    """Those of a host, except what is given."""
    options: dict[str, int | timedelta] = {
        "batch_size": 16,
        "new_batch_threshold": 8,
        "max_dequeue_count": 5,
        "retry_after": timedelta(),
        "longest_pause": timedelta(seconds=0.2),
        **changed,
    }
    return QueueOptions(**options)  # type: ignore[arg-type]  # Named as they are declared.


class Worker:
    """Works on messages: notes them, waits until it may go on, fails for the bodies in `bad`."""

    def __init__(self, *bad: bytes) -> None:
        self.bad = set(bad)
        self.seen: list[QueueDelivery] = []
        self.done = 0
        self.may_go = asyncio.Event()
        self.may_go.set()

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.seen]

    async def __call__(self, delivery: QueueDelivery) -> bool:
        self.seen.append(delivery)
        await self.may_go.wait()
        self.done += 1
        return delivery.body not in self.bad

    async def wait_for(self, count: int) -> None:
        """Until so many deliveries were seen."""

        async def reached() -> bool:
            return len(self.seen) >= count

        await eventually(reached, f"{count} messages; there were {self.bodies}")

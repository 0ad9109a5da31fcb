"""Takes messages out of a queue and has them worked on; what fails too often is put aside.

A message is hidden while it is worked on, and deleted when that went well. So hosts share a queue
without knowing of each other, and what a dead one had in hand comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from azure.storage.queue import QueueMessage

from func_py.clock import Clock
from func_py.errors import StorageError, StorageUnavailable
from func_py.storage.queues import Queue, Received
from func_py.triggers.polling import Pauses
from func_py_bindings.queue import QueueDelivery

logger = logging.getLogger(__name__)

HIDDEN = timedelta(minutes=10)
"""How long a message in hand is hidden; after a third of that it is hidden anew."""

_SHORTEST = timedelta(milliseconds=100)
_LONGEST_OUTAGE = timedelta(seconds=10)
_NOW = timedelta()

Handle = Callable[[QueueDelivery], Awaitable[bool]]
"""Works on a message; False: in vain, as the log says by then."""

PoisonOf = Callable[[QueueDelivery | None], Queue | None]
"""The poison queue of a message, which is None when it cannot be read. No queue: it stays where it
is, hidden, until it expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How a queue is listened to.

    More messages are asked for, `batch_size` at once, while no more than `new_batch_threshold` are
    in hand. One that failed is hidden for `retry_after`; after `max_dequeue_count` tries it goes to
    the poison queue.
    """

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    retry_after: timedelta
    longest_pause: timedelta


class QueueListener:
    """Works on the messages of one queue, for as long as it runs.

    Args:
        what: For people: `The trigger of 'orders'`.
        queue: Where messages come from.
        poison_of: Where a message goes that failed too often.
        handle: Works on a message.
        options: How it is listened to.
        clock: The time.
    """

    def __init__(
        self,
        what: str,
        queue: Queue,
        poison_of: PoisonOf,
        handle: Handle,
        options: QueueOptions,
        clock: Clock,
    ) -> None:
        self._what = what
        self._queue = queue
        self._poison_of = poison_of
        self._handle = handle
        self._options = options
        self._clock = clock
        self._pauses = Pauses(clock, _SHORTEST, options.longest_pause)
        self._outage = Pauses(clock, _SHORTEST, _LONGEST_OUTAGE)
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._is_stopping = False

    @property
    def place(self) -> str:
        """What to watch for writes of this process."""
        return self._queue.place

    def wake(self) -> None:
        """Look now: there is something in the queue."""
        self._pauses.reset()
        self._pauses.wake()

    def start(self) -> None:
        """Begin; returns at once."""
        self._loop = asyncio.create_task(self._run(), name=f"queue {self._queue.name}")

    async def stop(self, grace_s: float) -> None:
        """Take no more messages, let those in hand be finished for so long, give back the rest."""
        self._is_stopping = True
        for end in (self._pauses.wake, self._outage.wake, self._has_room.set):
            end()
        clock = asyncio.get_running_loop()
        deadline = clock.time() + grace_s
        if self._loop is not None:
            # Not cancelled at once: what the service has handed out is hidden already.
            await asyncio.wait([self._loop], timeout=grace_s)
            await _cancelled(self._loop)
        if self._in_hand:
            in_hand = set(self._in_hand)
            await asyncio.wait(in_hand, timeout=max(deadline - clock.time(), 0))
            for task in in_hand:
                await _cancelled(task)

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                await self._has_room.wait()
                found = await self._queue.receive(self._options.batch_size, HIDDEN)
                self._outage.reset()
                if found:
                    self._pauses.reset()
                    for received in found:
                        self._begin(received)
                elif not self._is_stopping:
                    await self._pauses.pause()
            except StorageError as exc:
                self._queue.answers.tell(exc)
                await self._outage.pause()
            except Exception:
                # A mistake of ours must not end a trigger for good.
                logger.exception("%s failed.", self._what)
                await self._outage.pause()

    def _begin(self, received: Received) -> None:
        task = asyncio.create_task(self._work_on(received), name=f"message {received.id}")
        self._in_hand.add(task)
        self._note_room()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._note_room()

    def _note_room(self) -> None:
        if self._is_stopping or len(self._in_hand) <= self._options.new_batch_threshold:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _work_on(self, received: Received) -> None:
        hold = _Hold(self._queue, received.message, self._clock)
        try:
            if self._is_stopping:
                await hold.hide(_NOW)
            elif received.delivery is None:
                logger.warning(
                    "%s: message %s in '%s' is not in base64, as the messageEncoding says.",
                    *(self._what, received.id, self._queue.name),
                )
                await self._put_aside(hold, None)
            elif received.dequeue_count > self._options.max_dequeue_count:
                await self._put_aside(hold, received.delivery)
            else:
                is_done = await self._handled(hold, received.delivery)
                await self._insist(lambda: self._settle(hold, received, is_done))
        except LookupError:
            # Somebody else has it now, or had it: it is no longer ours to decide on.
            logger.info("%s: message %s was lost to another host.", self._what, received.id)
        except StorageError as exc:
            self._queue.answers.tell(exc)
        except Exception:
            logger.exception("%s failed with message %s.", self._what, received.id)

    async def _handled(self, hold: _Hold, delivery: QueueDelivery) -> bool:
        try:
            async with hold:
                return await self._handle(delivery)
        except asyncio.CancelledError:
            # The host ends before the function did. The message is for whoever comes next.
            await hold.hide(_NOW)
            raise

    async def _insist(self, settle: Callable[[], Awaitable[None]]) -> None:
        """What the function did is done, so an outage is no reason to have it done again."""
        pauses = Pauses(self._clock, _SHORTEST, _LONGEST_OUTAGE)
        end = self._clock.now() + HIDDEN
        while True:
            try:
                return await settle()
            except StorageUnavailable as exc:
                self._queue.answers.tell(exc)
                if self._is_stopping or self._clock.now() > end:
                    return
                await pauses.pause()

    async def _settle(self, hold: _Hold, received: Received, is_done: bool) -> None:
        if is_done:
            await hold.delete()
        elif received.dequeue_count < self._options.max_dequeue_count:
            await hold.hide(self._options.retry_after)
            if not self._options.retry_after:
                self.wake()
        else:
            await self._put_aside(hold, received.delivery)

    async def _put_aside(self, hold: _Hold, delivery: QueueDelivery | None) -> None:
        poison = self._poison_of(delivery)
        if poison is None:
            logger.warning(
                "Message has reached MaxDequeueCount of %d. There is no poison queue for '%s'.",
                *(self._options.max_dequeue_count, self._queue.name),
            )
            return
        logger.warning(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            *(self._options.max_dequeue_count, poison.name),
        )
        await poison.send_again(hold.message)
        await hold.delete()


class _Hold:
    """A message in hand. Entered, it stays hidden however long that takes."""

    def __init__(self, queue: Queue, message: QueueMessage, clock: Clock) -> None:
        self.message = message
        self._queue = queue
        self._pauses = Pauses(clock, HIDDEN / 3, HIDDEN / 3)
        self._is_over = False
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=f"hold of {self.message.id}")

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        self._pauses.wake()
        if self._keeping is not None:
            # Not cancelled: of a request on its way, the answer holds the receipt.
            await self._keeping

    async def hide(self, span: timedelta) -> None:
        self.message = await self._queue.hide(self.message, span)

    async def delete(self) -> None:
        await self._queue.delete(self.message)

    async def _keep(self) -> None:
        while True:
            await self._pauses.pause()
            if self._is_over:
                return
            try:
                await self.hide(HIDDEN)
            except LookupError:
                return  # What becomes of it is decided elsewhere; the function runs on.
            except StorageError as exc:
                # There is another time before the end of what it had.
                self._queue.answers.tell(exc)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task that is not done, and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

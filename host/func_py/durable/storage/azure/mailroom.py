"""Looks into the control queues of our partitions and gives their mail to the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from func_py.durable.model import ExecutionStarted
from func_py.durable.storage.azure.account import answers
from func_py.durable.storage.azure.control import Control, Letter
from func_py.durable.storage.azure.parts import Parts, gather_all
from func_py.durable.storage.azure.starts import Starts
from func_py.durable.storage.azure.unsent import UnsentStarts
from func_py.durable.storage.base import Lease
from func_py.errors import StorageError, StorageUnavailable

log = logging.getLogger("func_py.durable.storage")

_SHORTEST_S = 0.05
_STOP_LIMIT_S = 5


class Mailroom:
    """The queues of our partitions, each looked into by a task of its own.

    An idle queue is looked into less and less often; what this process sends has it looked into at
    once.
    """

    def __init__(self, parts: Parts, starts: Starts, longest_s: float) -> None:
        self._parts = parts
        self._starts = starts
        self._longest_s = longest_s
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._bells: dict[int, asyncio.Event] = {}
        self._letters: list[tuple[Control, Letter]] = []
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        self._problem: StorageError | None = None
        self._unsent = UnsentStarts(parts, self.wake)
        self._errands = [
            asyncio.ensure_future(self._renew()),
            asyncio.ensure_future(self._unsent.run()),
        ]

    # ---- partitions ------------------------------------------------------------------------

    def open(self, lease: Lease) -> None:
        """Hold the mail of a partition."""
        queue = self._parts.control_queues[lease.partition]
        self._parts.controls[lease.partition] = Control(
            lease, queue, self._parts.payloads, self._parts.hidden_s
        )
        self._bells[lease.partition] = asyncio.Event()

    def control(self, lease: Lease) -> Control | None:
        """What is held under this lease; None when it is not ours any more."""
        found = self._parts.controls.get(lease.partition)
        return found if found is not None and found.lease == lease else None

    def begin(self, control: Control) -> None:
        """Look for mail from now on."""
        number = control.lease.partition
        if number not in self._tasks:
            self._tasks[number] = asyncio.ensure_future(self._poll(control))
            self._unsent.look_soon()

    async def shut(self, lease: Lease) -> Control:
        """Look no more, and hold nothing any more; what was held."""
        await self._stop(lease.partition)
        self._bells.pop(lease.partition, None)
        return self._parts.controls.pop(lease.partition)

    async def _stop(self, partition: int) -> None:
        """Look no more into a queue."""
        task = self._tasks.pop(partition, None)
        if task is None:
            return
        # Not while it looks: what was taken and is not held yet would be hidden for a while.
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_LIMIT_S), self._parts.controls[partition].looking:
                task.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Give no more mail."""
        self._closed.set()
        self._arrived.set()
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(
            *self._errands, *map(self._stop, list(self._tasks)), return_exceptions=True
        )

    def wake(self, partition: int) -> None:
        """There is something in the queue of this partition."""
        bell = self._bells.get(partition)
        if bell is not None:
            bell.set()

    # ---- mail ------------------------------------------------------------------------------

    def deliver(self, control: Control, letters: Sequence[Letter]) -> None:
        """Give letters to the engine."""
        self._letters += [(control, letter) for letter in letters]
        self._arrived.set()

    async def receive(self) -> Sequence[tuple[Control, Letter]]:
        """Wait for letters; raises what the queues say when they do not answer."""
        while not self._letters:
            self._arrived.clear()
            if self._closed.is_set():
                raise StorageUnavailable("the task hub is closed")
            if self._problem is not None:
                problem, self._problem = self._problem, None
                raise problem
            await self._arrived.wait()
        letters, self._letters = self._letters, []
        return letters

    async def pause(self, seconds: float) -> None:
        """Wait, or until the hub is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def drain(self, control: Control) -> None:
        """Hold all mail that can be seen, of instances that are there."""
        count = 1
        while count:
            async with control.looking:
                count, letters = await control.take()
                await self._keep(control, letters, known=False)

    async def look(self, control: Control) -> None:
        """Hold and deliver all mail that can be seen."""
        while await self._look_once(control):
            pass

    async def _look_once(self, control: Control) -> int:
        async with control.looking:
            count, letters = await control.take()
            self.deliver(control, await self._keep(control, letters, known=True))
            return count

    async def _poll(self, control: Control) -> None:
        bell = self._bells[control.lease.partition]
        pause = _SHORTEST_S
        while True:
            bell.clear()
            try:
                with answers():
                    count = await self._look_once(control)
            except StorageError as error:
                self._problem = error
                self._arrived.set()
                count = 0
            if count:
                pause = _SHORTEST_S
                continue
            try:
                async with asyncio.timeout(pause):
                    await bell.wait()
                pause = _SHORTEST_S
            except TimeoutError:
                pause = min(2 * pause, self._longest_s)

    async def _renew(self) -> None:
        """Keep the activities hidden that this host holds."""
        while True:
            await asyncio.sleep(self._parts.hidden_s / 4)
            try:
                with answers():
                    await self._parts.work.renew()
            except StorageError as error:
                log.debug("Activities could not be kept hidden: %s", error)

    async def _keep(
        self, control: Control, letters: Sequence[Letter], *, known: bool
    ) -> Sequence[Letter]:
        """Hold letters; those to be given to the engine.

        Args:
            control: Of whose queue they are.
            letters: As they were taken.
            known: Leave it to the engine to find out that an instance is not there.
        """
        again = [letter for letter in letters if control.is_kept(letter)]
        new = [letter for letter in letters if not control.is_kept(letter)]
        verdicts = await gather_all(self._is_wanted(control, each, known=known) for each in new)
        kept = [*again]
        for letter, wanted in zip(new, verdicts, strict=True):
            if not wanted:
                continue
            if control.keep(letter):
                kept.append(letter)
                self._begin_anew(letter)
            elif letter.message.id not in control:
                # It was consumed: a second copy.
                self._parts.delete_later(control.queue, letter.held)
        return sorted((k for k in kept if k.message.id in control), key=lambda k: k.order)

    async def _is_wanted(self, control: Control, letter: Letter, *, known: bool) -> bool:
        message = letter.message
        if isinstance(message.event, ExecutionStarted):
            return message.id in control or await self._starts.examine(control, letter)
        if known or message.instance_id.startswith("@"):
            return True
        if await self._parts.instances.exists(message.instance_id):
            return True
        self._parts.delete_later(control.queue, letter.held)
        return False

    def _begin_anew(self, letter: Letter) -> None:
        """What was sent to a former life of the instance is not for this one."""
        if letter.delivery.generation:
            self._parts.forget_instance(letter.message.instance_id, letter)

"""What the verbs of an open hub work with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from azure.core.exceptions import AzureError

from func_py.durable.model import ExecutionStarted, Message, TimerTask, partition_of
from func_py.durable.storage.azure.account import Clients, answers
from func_py.durable.storage.azure.blobs import LargePayloads
from func_py.durable.storage.azure.control import Control, Letter
from func_py.durable.storage.azure.history import History
from func_py.durable.storage.azure.instances import Instances
from func_py.durable.storage.azure.members import event_type
from func_py.durable.storage.azure.messages import (
    MAX_MESSAGE_BYTES,
    Delivery,
    Numbers,
    blob_name,
    encode_message,
    encode_stub,
)
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.queues import Held, MessageQueue, seconds
from func_py.durable.storage.azure.store import InstanceStore
from func_py.durable.storage.azure.work_items import WorkItems
from func_py.errors import StorageUnavailable

log = logging.getLogger("func_py.durable.storage")

T = TypeVar("T")


class Parts:
    """Clients and what is held, of one open hub. One event loop.

    Args:
        clients: Of the account.
        names: Of the hub.
        partition_count: Of the hub.
        hidden_s: How long a message stays hidden when its holder says nothing.
        deliver: Gives letters of a control queue to the engine, in order.
    """

    def __init__(
        self,
        clients: Clients,
        names: HubNames,
        partition_count: int,
        hidden_s: int,
        deliver: Callable[[Control, Sequence[Letter]], None],
    ) -> None:
        self.tables, self.queues, self.blobs = clients
        self.names = names
        self.partition_count = partition_count
        self.hidden_s = hidden_s
        self.deliver = deliver
        self.numbers = Numbers()
        self.payloads = LargePayloads(self.blobs.get_container_client(names.large_messages))
        self.instances = Instances(
            self.tables.get_table_client(names.instances), self.payloads, names.hub
        )
        self.history = History(self.tables.get_table_client(names.history), self.payloads)
        self.store = InstanceStore(self.instances, self.history)
        work_queue = MessageQueue(self.queues.get_queue_client(names.work_items))
        self.work = WorkItems(work_queue, self.payloads, self.numbers, hidden_s)
        self.control_queues = [
            MessageQueue(self.queues.get_queue_client(names.control(number)))
            for number in range(partition_count)
        ]
        self.controls: dict[int, Control] = {}
        """Of the partitions we own."""
        self._later: set[asyncio.Task[None]] = set()

    def control_of(self, instance_id: str) -> Control | None:
        """That of the instance's partition, when it is ours."""
        return self.controls.get(partition_of(instance_id, self.partition_count))

    # ---- deletions that nobody waits for ---------------------------------------------------

    def delete_later(self, queue: MessageQueue, held: Collection[Held]) -> None:
        """Delete messages soon. Should we die before, they come again and are dropped then."""
        if held:
            self.do_later(_delete_all(queue, held))

    def do_later(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something whose failure harms nobody."""
        task = asyncio.ensure_future(_quietly(work))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def settle(self) -> None:
        """Wait for what was left for later."""
        while others := self._later - {asyncio.current_task()}:
            await asyncio.wait(others)

    def drop_later(self) -> None:
        """Give up what was left for later."""
        for task in self._later:
            task.cancel()

    # ---- sending ---------------------------------------------------------------------------

    async def encode(self, message: Message, sequence: int, generation: int | None = None) -> str:
        """The text of a message, which is in a blob when it is long; raises UnicodeError."""
        text = encode_message(message, sequence, generation)
        if len(text.encode()) <= MAX_MESSAGE_BYTES:
            return text
        name = blob_name(message.instance_id, message.id, event_type(message.event))
        await self.payloads.put(name, text)
        return encode_stub(name)

    async def post(self, message: Message, text: str) -> None:
        """Store a message where everybody sees it."""
        number = partition_of(message.instance_id, self.partition_count)
        await self.control_queues[number].put(text)

    async def put_held(
        self, control: Control, message: Message, text: str, sequence: int
    ) -> Letter:
        """Store a message for a partition of ours, hidden; it is held when it is kept."""
        held = await control.queue.put(text, self.hidden_s)
        return Letter(Delivery(message=message, sequence=sequence), held)

    async def hold(self, control: Control, letter: Letter) -> bool:
        """Keep a letter that was put hidden; True when the engine is to get it.

        Where the partition was given up meanwhile, the next owner sees it when this returns: what
        its sender stores after that must not overtake it.
        """
        if self.controls.get(control.lease.partition) is control:
            return control.keep(letter)
        await _quietly(control.queue.show_all(letter.held))
        return False

    async def put_timer(self, control: Control, timer: TimerTask, text: str) -> Held:
        """Store the message that makes a timer fire, hidden until it is due."""
        return await control.queue.put(text, seconds(timer.fire_at - datetime.now(UTC)))

    async def is_for_nobody(self, message: Message) -> bool:
        """Is the instance not there? Only what goes to whatever runs there is asked for."""
        if (
            message.execution_id
            or message.instance_id.startswith("@")
            or isinstance(message.event, ExecutionStarted)
        ):
            return False
        return not await self.instances.exists(message.instance_id)

    def forget_instance(self, instance_id: str, start: Letter | None = None) -> None:
        """Delete the mail, timers and activities of a former life of an instance of ours."""
        control = self.control_of(instance_id)
        if control is None:
            return
        self.delete_later(control.queue, control.drop_instance(instance_id, start))
        keep = "" if start is None else start.message.execution_id
        calls = self.work.held(lambda t: t.instance_id == instance_id and t.execution_id != keep)
        keys = [call.key for call in calls]
        self.delete_later(self.work.queue, self.work.take(keys))


async def in_order(groups: Iterable[Sequence[Coroutine[Any, Any, None]]]) -> None:
    """Do the steps of each group one after the other, the groups side by side."""
    await gather_all(_one_by_one(steps) for steps in groups)


async def _one_by_one(steps: Sequence[Coroutine[Any, Any, None]]) -> None:
    left = list(steps)
    try:
        while left:
            await left.pop(0)
    finally:
        for step in left:
            step.close()


async def gather_all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all; when one fails, the others have come to their end before it is raised."""
    results = await asyncio.gather(*works, return_exceptions=True)
    done: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done


async def _delete_all(queue: MessageQueue, held: Collection[Held]) -> None:
    await gather_all(queue.delete(each) for each in held)


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    try:
        with answers():
            await work
    except StorageUnavailable as error:
        log.debug("What was consumed stays stored for now: %s", error)
    except AzureError:
        log.warning("What was consumed stays stored.", exc_info=True)


class Writes:
    """Writes under way. A caller that is cancelled leaves its write, which goes on to its end; who
    writes after that waits for it, so that it sees what became of it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out a write."""
        task = asyncio.create_task(self._after_those_left(work))
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._left.add(task)
            raise

    async def _after_those_left(self, work: Coroutine[Any, Any, T]) -> T:
        if self._left:
            await asyncio.wait(set(self._left))
        with answers():
            return await work

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task in self._left:
            self._left.discard(task)
            with suppress(asyncio.CancelledError):
                task.exception()  # nobody else looks at it

    def is_left(self, task: asyncio.Task[Any]) -> bool:
        """Was the caller of this write cancelled?"""
        return task in self._left

    async def settle(self) -> None:
        """Wait for all that are under way."""
        while self._running:
            await asyncio.wait(self._running)

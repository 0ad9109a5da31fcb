"""The control queue of a partition that this host owns: its mail and its timers.

Everything that was taken from the queue, or put into it hidden, is held: it comes back when its
time is up, and is known again by the id that the service gave it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from func_py.durable.model import Message, TimerFired, TimerTask
from func_py.durable.storage.azure.blobs import LargePayloads
from func_py.durable.storage.azure.messages import (
    Delivery,
    UnreadableMessage,
    decode_message,
    parse,
    plain_text,
    stub_target,
)
from func_py.durable.storage.azure.queues import MAX_TAKE, Held, MessageQueue, Taken, seconds
from func_py.durable.storage.base import Lease, TaskKey, Token

log = logging.getLogger("func_py.durable.storage")

_REMEMBERED = 10_000
_LONGEST_ABANDON_S = 600


class Letter:
    """A message that is held. `held`: the queue messages that carry it, mostly one."""

    __slots__ = ("delivery", "held", "is_void", "order", "times", "token")

    def __init__(
        self, delivery: Delivery, held: Held, *, times: int = 0, token: Token | None = None
    ) -> None:
        self.delivery = delivery
        self.held = [held]
        self.order = (held.inserted_on, delivery.sequence)
        """Letters of one instance are delivered in this order."""
        self.times = times
        """How often it was taken from the queue."""
        self.is_void = False
        """What it was sent to is not there any more."""
        self.token = token
        """Set on the start of an instance that has had no turn."""

    @property
    def message(self) -> Message:
        """What it says."""
        return self.delivery.message


def timer_key(timer: TimerTask) -> TaskKey:
    """Names a timer."""
    return TaskKey(timer.instance_id, timer.execution_id, timer.task_id)


class Control:
    """What this host holds of one control queue, under one lease.

    Args:
        lease: Of the partition.
        queue: Of the partition.
        payloads: Where long messages are.
        hidden_s: How long mail stays hidden once it is taken.
    """

    def __init__(
        self, lease: Lease, queue: MessageQueue, payloads: LargePayloads, hidden_s: int
    ) -> None:
        self.lease = lease
        self.queue = queue
        self.hidden_s = hidden_s
        self._payloads = payloads
        self._letters: dict[str, Letter] = {}
        self._timers: dict[TaskKey, tuple[TimerTask, Held]] = {}
        self._by_id: dict[str, Letter | TaskKey] = {}
        self.looking = asyncio.Lock()
        """Whoever takes from the queue holds it until what was taken is kept."""
        self._consumed: OrderedDict[str, None] = OrderedDict()

    # ---- what is held ----------------------------------------------------------------------

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._letters

    def letters(self) -> Sequence[Letter]:
        """All that nobody consumed yet, in order."""
        return sorted(self._letters.values(), key=lambda letter: letter.order)

    def keep(self, letter: Letter) -> bool:
        """Hold a letter; False when the message is held already or was consumed."""
        [held] = letter.held
        message_id = letter.message.id
        former = self._letters.get(message_id)
        if former is letter:
            return False
        if former is not None:
            former.held.append(held)
            self._by_id[held.id] = former
            return False
        if message_id in self._consumed:
            return False
        self._letters[message_id] = letter
        self._by_id[held.id] = letter
        return True

    def consume(self, message_ids: Iterable[str]) -> list[Held]:
        """Hold these no longer; what is to be deleted from the queue."""
        found: list[Held] = []
        for message_id in message_ids:
            letter = self._letters.pop(message_id, None)
            if letter is None:
                continue
            found += letter.held
            self._consumed[message_id] = None
            for held in letter.held:
                self._by_id.pop(held.id, None)
        while len(self._consumed) > _REMEMBERED:
            self._consumed.popitem(last=False)
        return found

    def drop_instance(self, instance_id: str, start: Letter | None = None) -> list[Held]:
        """Hold nothing of an instance any more, or of what came before it was started anew.

        What is to be deleted from the queue.
        """
        void = [
            letter
            for letter in self._letters.values()
            if letter.message.instance_id == instance_id
            and (start is None or letter.order < start.order)
        ]
        for letter in void:
            letter.is_void = True
        mail = [letter.message.id for letter in void]
        keep = "" if start is None else start.message.execution_id
        timers = [
            key
            for key in self._timers
            if key.instance_id == instance_id and key.execution_id != keep
        ]
        return [*self.consume(mail), *self.end_timers(timers)]

    def add_timer(self, timer: TimerTask, held: Held) -> None:
        """Hold the message that makes the timer fire when nobody else does."""
        key = timer_key(timer)
        self._timers[key] = (timer, held)
        self._by_id[held.id] = key

    def end_timers(self, keys: Iterable[TaskKey]) -> list[Held]:
        """Hold these no longer; what is to be deleted from the queue."""
        found: list[Held] = []
        for key in keys:
            entry = self._timers.pop(key, None)
            if entry is not None:
                found.append(entry[1])
                self._by_id.pop(entry[1].id, None)
        return found

    def execution_timers(self, instance_id: str, execution_id: str | None) -> list[TaskKey]:
        """Those of an instance, or of one of its executions."""
        return [
            key
            for key in self._timers
            if key.instance_id == instance_id and execution_id in (None, key.execution_id)
        ]

    def timers(self, after: datetime | None, until: datetime) -> Sequence[TimerTask]:
        """Those that become due in a span of time, by due time."""
        found = [
            timer
            for timer, _ in self._timers.values()
            if timer.fire_at < until and (after is None or after <= timer.fire_at)
        ]
        return sorted(found, key=lambda timer: (timer.fire_at, timer.task_id))

    # ---- the queue -------------------------------------------------------------------------

    async def take(self) -> tuple[int, Sequence[Letter]]:
        """Take once from the queue: how much was there, and the letters, in order.

        Those not seen before are not kept yet. Timers that are not due are held and stay hidden.
        """
        taken = await self.queue.take(MAX_TAKE, self.hidden_s)
        letters = await asyncio.gather(*(self._read(each) for each in taken))
        return len(taken), sorted(
            (letter for letter in letters if letter is not None), key=lambda letter: letter.order
        )

    async def _read(self, taken: Taken) -> Letter | None:
        known = self._by_id.get(taken.held.id)
        if isinstance(known, Letter):
            # Its time was up. Who dropped it without a word gets it again.
            known.held = [h if h.id != taken.held.id else taken.held for h in known.held]
            return known
        if known is not None:
            self.end_timers([known])
        try:
            delivery = await self._decode(taken.content)
        except (UnreadableMessage, ValueError) as error:
            name = self.queue.client.queue_name
            log.error("A message in '%s' cannot be read: %s", name, error)
            await self.queue.hide(taken.held, min(2**taken.times, _LONGEST_ABANDON_S))
            return None
        message = delivery.message
        event = message.event
        if isinstance(event, TimerFired) and event.fire_at > datetime.now(UTC):
            # No message can be hidden for longer than some days.
            timer = TimerTask(
                instance_id=message.instance_id,
                execution_id=message.execution_id,
                task_id=event.task_id,
                fire_at=event.fire_at,
            )
            self.add_timer(timer, taken.held)
            await self.queue.hide(taken.held, seconds(event.fire_at - datetime.now(UTC)))
            return None
        if delivery.due is not None and delivery.due > datetime.now(UTC):
            # As above; and nobody holds it, so that whoever owns the queue then gets it.
            await self.queue.hide(taken.held, seconds(delivery.due - datetime.now(UTC)))
            return None
        return Letter(delivery, taken.held, times=taken.times)

    async def _decode(self, content: str) -> Delivery:
        envelope = parse(plain_text(content))
        if blob := stub_target(envelope):
            envelope = parse(await self._payloads.get(blob))
        return decode_message(envelope)

    def is_kept(self, letter: Letter) -> bool:
        """Is this very letter held already?"""
        return self._letters.get(letter.message.id) is letter

    def message_count(self) -> int:
        """How many messages of the queue are held, with those of timers."""
        return len(self._by_id)

    def everything(self) -> Collection[Held]:
        """All mail that is held; timers are not."""
        return [held for letter in self._letters.values() for held in letter.held]

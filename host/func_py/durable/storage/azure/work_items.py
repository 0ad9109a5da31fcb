"""The queue of activity calls. What this host holds is hidden from everybody else.

A call whose holder dies becomes visible when its time is up. How often it has run is told from how
often it was taken, and from a note in the message for the times when it was taken and not run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from func_py.durable.model import ActivityTask
from func_py.durable.storage.azure.blobs import LargePayloads
from func_py.durable.storage.azure.messages import (
    MAX_MESSAGE_BYTES,
    Call,
    Count,
    Numbers,
    UnreadableMessage,
    blob_name,
    born_held,
    decode_call,
    encode_call,
    encode_stub,
    parse,
    plain_text,
    stub_target,
)
from func_py.durable.storage.azure.queues import MAX_TAKE, Held, MessageQueue, Taken
from func_py.durable.storage.base import TaskKey

log = logging.getLogger("func_py.durable.storage")

_UNREADABLE_S = 600


def key_of(task: ActivityTask) -> TaskKey:
    """The key of a call."""
    return TaskKey(task.instance_id, task.execution_id, task.task_id)


class HeldCall:
    """A call that this host holds."""

    __slots__ = ("count", "held", "task", "times")

    def __init__(self, task: ActivityTask, held: Held, count: Count, times: int) -> None:
        self.task = task
        self.held = held
        self.count = count
        self.times = times
        """How often its message was taken."""

    @property
    def key(self) -> TaskKey:
        """Names the call."""
        return key_of(self.task)


class WorkItems:
    """The queue, and what of it is ours.

    Args:
        queue: Of the hub.
        payloads: Where long calls are.
        numbers: Numbers messages.
        hidden_s: How long a call stays hidden when its holder says nothing.
    """

    def __init__(
        self, queue: MessageQueue, payloads: LargePayloads, numbers: Numbers, hidden_s: int
    ) -> None:
        self.queue = queue
        self._payloads = payloads
        self._numbers = numbers
        self._hidden_s = hidden_s
        self._held: dict[TaskKey, HeldCall] = {}
        self._by_id: dict[str, HeldCall] = {}

    # ---- what is held ----------------------------------------------------------------------

    def __contains__(self, key: TaskKey) -> bool:
        return key in self._held

    def held(self, wanted: Callable[[ActivityTask], bool]) -> list[HeldCall]:
        """Calls of ours, in the order they came."""
        return [call for call in self._held.values() if wanted(call.task)]

    def adopt(self, call: HeldCall) -> Held | None:
        """Hold a call; what must be deleted when it was held already, under another message."""
        former = self._held.get(call.key)
        self._held[call.key] = call
        self._by_id[call.held.id] = call
        if former is None or former.held.id == call.held.id:
            return None
        self._by_id.pop(former.held.id, None)
        return former.held

    def take(self, keys: Iterable[TaskKey]) -> list[Held]:
        """Hold these no longer; what is to be deleted."""
        found = [call for key in keys if (call := self._held.pop(key, None)) is not None]
        for call in found:
            self._by_id.pop(call.held.id, None)
        return [call.held for call in found]

    # ---- the queue -------------------------------------------------------------------------

    async def encode(self, task: ActivityTask, count: Count) -> str:
        """The message of a call; raises UnicodeError."""
        text = encode_call(task, self._numbers.next(), datetime.now(UTC), count)
        if len(text.encode()) <= MAX_MESSAGE_BYTES:
            return text
        message_id = f"{task.execution_id}:{task.task_id}"
        name = blob_name(task.instance_id, message_id, "TaskScheduled")
        await self._payloads.put(name, text)
        return encode_stub(name)

    async def put(self, task: ActivityTask, text: str) -> HeldCall:
        """Store a call, hidden; it is held when it is adopted."""
        return HeldCall(task, await self.queue.put(text, self._hidden_s), born_held(task), 0)

    async def offer(self, keys: Iterable[TaskKey]) -> None:
        """Let anybody have these; that counts no run."""
        calls = [call for key in keys if (call := self._held.pop(key, None)) is not None]
        for call in calls:
            self._by_id.pop(call.held.id, None)
        await asyncio.gather(*(self._give_back(call) for call in calls))

    async def release(self, calls: Collection[HeldCall]) -> None:
        """Let anybody have these; they may have run."""
        self.take([call.key for call in calls])
        await self.queue.show_all([call.held for call in calls])

    async def _give_back(self, call: HeldCall, delay_s: int = 0) -> None:
        text = await self.encode(call.task, Count(call.task.attempt, call.times))
        await self.queue.hide(call.held, delay_s, text)

    async def claim(
        self,
        names: Collection[str],
        limit: int,
        is_wanted: Callable[[ActivityTask], Awaitable[bool]],
    ) -> list[HeldCall]:
        """Take up to so many calls that anybody may have and whose name is one of these."""
        found: list[HeldCall] = []
        others: list[HeldCall] = []
        while len(found) < limit:
            taken = await self._take(limit - len(found))
            if taken is None:
                break
            known = [call for call in taken if call.task.name.lower() in names]
            others += [call for call in taken if call.task.name.lower() not in names]
            found += await self._wanted(known, is_wanted)
        await asyncio.gather(*(self._give_back(call) for call in others))
        return found

    async def sweep(
        self,
        is_ours: Callable[[ActivityTask], bool],
        is_wanted: Callable[[ActivityTask], Awaitable[bool]],
    ) -> list[HeldCall]:
        """Hold every call that can be seen and is ours; delete those that nobody wants."""
        seen: list[HeldCall] = []
        while (taken := await self._take(MAX_TAKE)) is not None:
            seen += taken
        ours = [call for call in seen if is_ours(call.task)]
        others = [call for call in seen if not is_ours(call.task)]
        wanted = await self._wanted(ours, is_wanted)
        await asyncio.gather(*(self._give_back(call) for call in others))
        return wanted

    async def _wanted(
        self, calls: Sequence[HeldCall], is_wanted: Callable[[ActivityTask], Awaitable[bool]]
    ) -> list[HeldCall]:
        """Those that somebody waits for; the others are deleted."""
        wanted = await asyncio.gather(*(is_wanted(call.task) for call in calls))
        stale = [call.held for call, keep in zip(calls, wanted, strict=True) if not keep]
        await asyncio.gather(*(self.queue.delete(held) for held in stale))
        return [call for call, keep in zip(calls, wanted, strict=True) if keep]

    async def _take(self, count: int) -> list[HeldCall] | None:
        """Take from the queue what is readable and not held already; None: it is empty."""
        taken = await self.queue.take(count, self._hidden_s)
        if not taken:
            return None
        found = await asyncio.gather(*(self._read(each) for each in taken))
        return [call for call in found if call is not None]

    async def _read(self, taken: Taken) -> HeldCall | None:
        known = self._by_id.get(taken.held.id)
        if known is not None:
            # Its time was up before it was renewed, and nobody else was faster.
            known.held, known.times = taken.held, taken.times
            return None
        try:
            call = await self._decode(taken.content)
        except (UnreadableMessage, ValueError) as error:
            log.error(
                "An activity call in '%s' cannot be read: %s", self.queue.client.queue_name, error
            )
            await self.queue.hide(taken.held, _UNREADABLE_S)
            return None
        task = replace(call.task, attempt=call.count.attempt_at(taken.times))
        return HeldCall(task, taken.held, call.count, taken.times)

    async def _decode(self, content: str) -> Call:
        envelope = parse(plain_text(content))
        if blob := stub_target(envelope):
            envelope = parse(await self._payloads.get(blob))
        return decode_call(envelope)

    async def renew(self) -> None:
        """Keep hidden what is held and would soon be seen."""
        limit = time.monotonic() + self._hidden_s / 2
        due = [call.held for call in self._held.values() if call.held.hidden_until < limit]
        for start in range(0, len(due), MAX_TAKE):
            part = due[start : start + MAX_TAKE]
            await asyncio.gather(*(self.queue.hide(held, self._hidden_s) for held in part))

    def everything(self) -> list[Held]:
        """All messages that are held."""
        return [call.held for call in self._held.values()]


def sorted_tasks(calls: Collection[HeldCall]) -> Sequence[ActivityTask]:
    """The tasks of these calls, those of one instance in the order of their numbers."""
    tasks = [call.task for call in calls]
    return sorted(tasks, key=lambda task: (task.instance_id, task.execution_id, task.task_id))

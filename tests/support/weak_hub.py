"""A task hub as weak as the contract allows, around one that is stronger.

Turns are committed one by one, some are lost for no visible reason (by a seeded generator, never
twice running for one instance), all mail is delivered twice, without tokens, and nothing is said
about transactions. What is built above the contract has to work on it as well.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from func_py.durable.model import (
    ActivityTask,
    InstanceState,
    LongTimers,
    Message,
    RuntimeStatus,
    TimerTask,
)
from func_py.durable.storage.base import (
    Capability,
    Committed,
    HistoryPage,
    HostRecord,
    HubInfo,
    InstancePage,
    InstanceQuery,
    Lease,
    Loaded,
    Lost,
    LostReason,
    Mail,
    Position,
    Record,
    Recovered,
    TaskHub,
    TaskKey,
    Turn,
    Unseen,
    Whereabouts,
)


class WeakHub:
    """See `TaskHub`.

    Args:
        hub: Does the work.
        seed: Decides which turns are lost.
        loss: Share of turns that are lost, 0 to 1.
    """

    def __init__(self, hub: TaskHub, *, seed: int = 1, loss: float = 0.25) -> None:
        self.hub = hub
        self._chance = random.Random(seed)
        self._loss = loss
        self._spared: set[str] = set()
        self._again: list[Mail] = []

    async def create_hub(self) -> None:
        """See `TaskHub`."""
        await self.hub.create_hub()

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub`."""
        info = await self.hub.open(host)
        return replace(info, capabilities=info.capabilities - {Capability.TRANSACTIONS})

    async def close(self) -> None:
        """See `TaskHub`."""
        await self.hub.close()

    async def delete_hub(self) -> None:
        """See `TaskHub`."""
        await self.hub.delete_hub()

    async def hosts(self) -> Sequence[HostRecord]:
        """See `TaskHub`."""
        return await self.hub.hosts()

    async def publish(self, functions: Sequence[str]) -> None:
        """See `TaskHub`."""
        await self.hub.publish(functions)

    async def watch_hosts(self, known: Sequence[HostRecord]) -> Sequence[HostRecord]:
        """See `TaskHub`."""
        return await self.hub.watch_hosts(known)

    @property
    def long_timers(self) -> LongTimers | None:
        """See `TaskHub`."""
        return self.hub.long_timers

    @property
    def is_overdue(self) -> bool:
        """See `TaskHub`."""
        return self.hub.is_overdue

    async def renew(self) -> Sequence[Lease]:
        """See `TaskHub`."""
        return await self.hub.renew()

    async def create_instance(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """See `TaskHub`."""
        await self.hub.create_instance(state, start, reusable)

    async def send(self, messages: Sequence[Message]) -> None:
        """See `TaskHub`."""
        await self.hub.send(messages)

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """See `TaskHub`."""
        return await self.hub.get_instance(instance_id)

    async def read_history(self, instance_id: str, after: Position | None = None) -> HistoryPage:
        """See `TaskHub`."""
        return await self.hub.read_history(instance_id, after)

    async def whereabouts(self, instance_id: str) -> Whereabouts:
        """See `TaskHub`."""
        return await self.hub.whereabouts(instance_id)

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """See `TaskHub`."""
        return await self.hub.query_instances(query)

    async def purge(self, instance_id: str) -> bool:
        """See `TaskHub`."""
        return await self.hub.purge(instance_id)

    async def acquire(
        self, partitions: Collection[int], limit: int | None = None
    ) -> Sequence[Lease]:
        """See `TaskHub`."""
        return await self.hub.acquire(partitions, limit)

    async def release(self, leases: Sequence[Lease], keep: Collection[TaskKey] = ()) -> None:
        """See `TaskHub`."""
        await self.hub.release(leases, keep)

    async def recover(self, lease: Lease, timers_until: datetime) -> Recovered:
        """See `TaskHub`; the mail is delivered once more by `receive`."""
        found = await self.hub.recover(lease, timers_until)
        mail = [_weakened(m) for m in found.mail]
        self._again += mail
        return msgspec.structs.replace(found, mail=mail)

    async def receive(self) -> Sequence[Mail]:
        """See `TaskHub`; every batch comes a second time."""
        if self._again:
            mail, self._again = self._again, []
            return mail
        mail = [_weakened(m) for m in await self.hub.receive()]
        self._again = list(mail)
        return mail

    async def read_mail(self, lease: Lease, message_id: str) -> Mail | None:
        """See `TaskHub`."""
        mail = await self.hub.read_mail(lease, message_id)
        return None if mail is None else _weakened(mail)

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """See `TaskHub`."""
        return await self.hub.timers(lease, after, until)

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """See `TaskHub`."""
        return await self.hub.load(instance_id, history=history)

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """See `TaskHub`; one by one, and some are lost."""
        answers: list[Committed | Lost] = []
        for turn in turns:
            instance_id = turn.state.instance_id
            if instance_id in self._spared:
                self._spared.remove(instance_id)
            elif self._chance.random() < self._loss:
                self._spared.add(instance_id)
                answers.append(Lost(LostReason.STALE, "lost on purpose"))
                continue
            answers += await self.hub.commit([turn])
        return answers

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """See `TaskHub`."""
        await self.hub.discard(lease, messages, activities)

    async def offer_activities(self, activities: Collection[ActivityTask]) -> None:
        """See `TaskHub`."""
        await self.hub.offer_activities(activities)

    async def claim_activities(self, names: Collection[str], limit: int) -> Sequence[ActivityTask]:
        """See `TaskHub`."""
        return await self.hub.claim_activities(names, limit)

    async def read_activity(self, key: TaskKey) -> ActivityTask | None:
        """See `TaskHub`."""
        return await self.hub.read_activity(key)

    async def complete_activity(self, key: TaskKey, result: Message) -> bool:
        """See `TaskHub`."""
        return await self.hub.complete_activity(key, result)

    async def take_back_activities(self, lease: Lease) -> Sequence[ActivityTask]:
        """See `TaskHub`."""
        return await self.hub.take_back_activities(lease)

    async def unseen(self) -> Unseen:
        """See `TaskHub`."""
        return await self.hub.unseen()

    async def read_record(self, key: str) -> Record | None:
        """See `TaskHub`."""
        return await self.hub.read_record(key)

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """See `TaskHub`."""
        return await self.hub.write_record(key, value, version)

    async def delete_record(self, key: str, version: int) -> bool:
        """See `TaskHub`."""
        return await self.hub.delete_record(key, version)

    async def hold_record(self, key: str) -> bool:
        """See `TaskHub`."""
        return await self.hub.hold_record(key)

    async def release_record(self, key: str) -> None:
        """See `TaskHub`."""
        await self.hub.release_record(key)


def _weakened(mail: Mail) -> Mail:
    return msgspec.structs.replace(mail, token=None)

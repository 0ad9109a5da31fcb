"""What a provider gives to the conformance suite, and what the suite makes of it.

To run the suite on a provider of your own: write a `Harness`, and a test module with a `harness`
fixture and a subclass of every class of cases, as `test_providers.py` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from support.durable_values import NOON, at, make_start, make_turn, scheduled

from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    new_id,
    partition_of,
)
from func_py.durable.storage.base import (
    REUSE_FINISHED,
    Committed,
    HostRecord,
    Lease,
    Loaded,
    Lost,
    LostReason,
    Mail,
    Recovered,
    TaskHub,
    Token,
    Turn,
)
from func_py.durable.storage.histories import whole_history

PARTITIONS = 4


class Harness(Protocol):
    """One provider, with a store that is empty at the beginning of each test."""

    loses_turns: bool
    """A turn may be lost as STALE for no reason, but not twice running for one instance; all mail
    comes twice, and none has a token."""
    has_transactions: bool
    """Of the capability."""
    uses_queues: bool
    """Timers and activities are messages: nobody can list those that are hidden, nor delete what
    another host has taken."""

    def hub(self, name: str = "TestHub", partition_count: int = PARTITIONS) -> TaskHub:
        """Another view of the hub of that name, as another process has it; not created or open."""
        ...

    async def die(self, hub: TaskHub) -> None:
        """End the view as if its process had been killed."""
        ...


class World:
    """The hosts of one test. They are closed at its end."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self._hosts: list[Host] = []

    async def host(
        self, name: str = "TestHub", functions: Sequence[str] = (), owns: Sequence[int] = ()
    ) -> Host:
        """Open the hub once more, creating it when needed; own the partitions, recovered."""
        hub = self.harness.hub(name)
        await hub.create_hub()
        host = Host(self, hub, new_id())
        record = HostRecord(host_id=host.host_id, started_at=NOON, functions=functions)
        host.payload_limit = (await hub.open(record)).payload_limit
        self._hosts.append(host)
        if owns:
            await host.own(owns)
        return host

    async def owner(self) -> Host:
        """A host that owns every partition."""
        return await self.host(owns=range(PARTITIONS))

    async def close(self) -> None:
        """Close every host that was opened."""
        for host in self._hosts:
            await host.hub.close()


class Instance(NamedTuple):
    """An instance as the test knows it: record, start message, current token."""

    state: InstanceState
    start: Message
    token: Token


class Host:
    """A hub that is open, with the leases it got; and shorter ways to do what tests do often."""

    def __init__(self, world: World, hub: TaskHub, host_id: str) -> None:
        self.hub = hub
        self.host_id = host_id
        self.leases: dict[int, Lease] = {}
        self.payload_limit: int | None = None
        """Of the hub (clause 32)."""
        self._world = world
        self._seen: set[str] = set()

    async def die(self) -> None:
        """End as if killed."""
        await self._world.harness.die(self.hub)

    async def own(self, partitions: Sequence[int]) -> None:
        """Acquire and recover; fails when one is not free."""
        leases = await self.hub.acquire(partitions)
        assert [lease.partition for lease in leases] == list(partitions)
        for lease in leases:
            self.leases[lease.partition] = lease
            await self.hub.recover(lease, at(0))

    async def take(self, instance_id: str) -> Recovered:
        """Acquire and recover the partition of an instance."""
        [lease] = await self.hub.acquire([partition_of(instance_id, PARTITIONS)])
        self.leases[lease.partition] = lease
        return await self.hub.recover(lease, at(3600))

    async def release(self) -> None:
        """Give every lease back."""
        await self.hub.release(list(self.leases.values()))
        self.leases.clear()

    def lease_of(self, instance_id: str) -> Lease:
        """Our lease of the instance's partition."""
        return self.leases[partition_of(instance_id, PARTITIONS)]

    async def create(
        self,
        instance_id: str,
        *,
        created_at: datetime = NOON,
        reusable: Collection[RuntimeStatus] = REUSE_FINISHED,
    ) -> Instance:
        """Start an instance; its start message is left where it is."""
        state, start = make_start(instance_id, created_at=created_at)
        await self.hub.create_instance(state, start, reusable)
        return Instance(state, start, await self.token(instance_id))

    async def running(self, instance_id: str) -> Instance:
        """Start an instance in a partition of ours, and commit a first turn with two events."""
        new = await self.create(instance_id)
        return await self.step(new, events=scheduled(2), consumed=[new.start.id])

    async def step(
        self, instance: Instance, *, status: RuntimeStatus = RuntimeStatus.RUNNING, **changes: Any
    ) -> Instance:
        """Commit a turn of the instance; what comes after it."""
        turn = self.turn(instance, status=status, **changes)
        return instance._replace(state=turn.state, token=await self.commit(turn))

    def turn(
        self, instance: Instance, *, status: RuntimeStatus = RuntimeStatus.RUNNING, **changes: Any
    ) -> Turn:
        """A turn of an instance in a partition of ours; see `make_turn`."""
        lease = self.lease_of(instance.state.instance_id)
        return make_turn(lease, instance.token, instance.state, status=status, **changes)

    async def receive(self, count: int) -> list[Mail]:
        """Wait for that many messages not seen before, in the order they came."""
        mail: list[Mail] = []
        async with asyncio.timeout(20):
            while len(mail) < count:
                for found in await self.hub.receive():
                    if found.message.id not in self._seen:
                        self._seen.add(found.message.id)
                        mail.append(found)
        return mail

    async def receive_texts(self, count: int) -> list[str]:
        """Ids of the next messages."""
        return [mail.message.id for mail in await self.receive(count)]

    async def pending(self, instance_id: str) -> list[Message]:
        """What is stored for the instance, from a new acquisition of its partition."""
        partition = partition_of(instance_id, PARTITIONS)
        if partition in self.leases:
            await self.hub.release([self.leases.pop(partition)])
        found = await self.take(instance_id)
        return [m.message for m in found.mail if m.message.instance_id == instance_id]

    async def load(self, instance_id: str) -> Loaded:
        """The stored instance, which must exist."""
        loaded = await self.hub.load(instance_id)
        assert loaded is not None
        return loaded

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """The stored history, whole."""
        return await whole_history(self.hub, instance_id)

    async def token(self, instance_id: str) -> Token:
        """The current token."""
        return (await self.load(instance_id)).token

    async def answers(self, turns: Sequence[Turn]) -> list[Committed | Lost]:
        """Commit turns of different instances; what the provider really says to them."""
        answers = list(await self.hub.commit(turns))
        if self._world.harness.loses_turns:
            stale = [
                position
                for position, answer in enumerate(answers)
                if isinstance(answer, Lost) and answer.reason is LostReason.STALE
            ]
            again = await self.hub.commit([turns[position] for position in stale])
            for position, answer in zip(stale, again, strict=True):
                answers[position] = answer
        return answers

    async def answer(self, turn: Turn) -> Committed | Lost:
        """Commit one turn; what the provider really says to it."""
        [answer] = await self.answers([turn])
        return answer

    async def commit(self, turn: Turn) -> Token:
        """Commit one turn that must not be lost; its new token."""
        answer = await self.answer(turn)
        assert isinstance(answer, Committed), answer
        return answer.token

    async def lost(self, turn: Turn) -> LostReason:
        """Commit one turn that must be lost; why it was."""
        answer = await self.answer(turn)
        assert isinstance(answer, Lost), answer
        return answer.reason


def ids_in_different_partitions(count: int) -> list[str]:
    """Instance ids, no two of one partition."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        instance_id = f"instance-{number}"
        found.setdefault(partition_of(instance_id, PARTITIONS), instance_id)
        number += 1
    return list(found.values())

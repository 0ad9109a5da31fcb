"""The partitions that this host holds: acquired, recovered, kept, given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta

from func_py.clock import Clock, Timer
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.background import Background
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.partition import Partition
from func_py.durable.engine.poison import Poison
from func_py.durable.faults import reach
from func_py.durable.model import ActivityTask, partition_of
from func_py.durable.storage.base import Lease, TaskHub, TaskKey
from func_py.errors import LeaseLost, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_UPKEEP = timedelta(seconds=5)
"""Between two looks at what is not as it should be."""


class Holdings:
    """Holds as many partitions as are for this host, where the store lets it."""

    def __init__(
        self,
        hub: TaskHub,
        partition_count: int,
        pool: ActivityPool,
        poison: Poison,
        outage: Outage,
        clock: Clock,
        rest: timedelta | None,
        make: Callable[[Lease], Partition],
    ) -> None:
        """`rest`: between two looks when all is as it should be; None where nobody can know."""
        self.share = partition_count
        """How many partitions are for this host."""
        self._hub = hub
        self._partition_count = partition_count
        self._pool = pool
        self._poison = poison
        self._outage = outage
        self._clock = clock
        self._rest = rest
        self._make = make
        self._held: dict[int, Partition] = {}
        self._dropped: list[Lease] = []
        """Leases to be given back before the partitions can be had again."""
        self._withdrawn: list[ActivityTask] = []
        """Calls that wait here and are not of our partitions, to be given up."""
        self._acquiring = asyncio.Lock()
        self._background = Background(_say_failed)
        self._upkeep_alarm: Timer | None = None
        self._closed = False

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def get(self, number: int) -> Partition | None:
        """The partition of this number, if we hold it."""
        return self._held.get(number)

    def of(self, instance_id: str) -> Partition | None:
        """The partition of an instance, if we hold it."""
        return self._held.get(self._number_of(instance_id))

    # ---- taking and giving -----------------------------------------------------------------

    async def renew(self) -> None:
        """Make sure that we count as alive; drop what others have taken from us."""
        async with self._acquiring:
            leases = await self._hub.renew()
            gone = [p for p in self._held.values() if p.lease not in leases]
        for partition in gone:
            self.lost(partition, "another host has it")

    async def acquire(self) -> None:
        """Give back what was dropped, take what is free of our share, recover what was taken.

        Where the store stops answering on the way, the next call goes on.
        """
        async with self._acquiring:
            await self._release()
            missing = [p for p in range(self._partition_count) if p not in self._held]
            wanted = min(self.share - len(self._held), len(missing))
            if wanted > 0:
                for lease in await self._hub.acquire(missing, wanted):
                    # Listed before it is recovered: mail that comes meanwhile must find it.
                    self._held[lease.partition] = self._make(lease)
                reach("host.acquired")
            new = [p for p in self._held.values() if not p.is_recovered]
            if new:
                await self._examine()
            for partition in new:
                try:
                    await partition.recover()
                except LeaseLost as error:
                    self.lost(partition, str(error))

    async def give_up(self, patience_s: float) -> None:
        """Let other hosts have what is more than our share, as soon as what was begun is stored.

        Activities that run go on here; those that wait go along. Operations of entities get
        `patience_s` seconds.
        """
        surplus = [self._held[number] for number in list(self)[max(0, self.share) :]]
        numbers = {partition.lease.partition for partition in surplus}
        await asyncio.gather(*(partition.leave(patience_s) for partition in surplus))
        # They are stored, and come with the partition.
        self._pool.withdraw(lambda instance_id: self._number_of(instance_id) in numbers)
        for partition in surplus:
            number = partition.lease.partition
            if self._held.get(number) is partition:
                del self._held[number]
                self._dropped.append(partition.lease)
        await self.acquire()

    def retire(self) -> None:
        """Take nothing more, and begin no more calls. Those that wait are for other hosts."""
        self.share = 0
        waiting = self._pool.start_no_more()
        # The others are stored, and come with their partitions.
        self._withdrawn += [call for call in waiting if self.of(call.instance_id) is None]

    async def give_up_all(self, patience_s: float) -> None:
        """The same for all of them, after `retire`."""
        while self._held:  # one may just have been acquired
            await self.give_up(patience_s)
        await self.acquire()

    async def take_back(self) -> None:
        """Run what hosts that have gone left in our partitions, and what nobody has claimed."""
        await self._examine()
        for partition in list(self._held.values()):
            if partition.is_recovered and partition.takes_results:
                await partition.take_back()

    def reconsider(self) -> None:
        """Try again what waits for hosts that have gone."""
        for partition in self._held.values():
            partition.reconsider()

    def lost(self, partition: Partition, why: str) -> None:
        """Drop a partition's memory and try for it again."""
        number = partition.lease.partition
        if self._held.get(number) is not partition:
            return
        log.warning("Partition %d is dropped (%s).", number, why)
        del self._held[number]
        self._withdrawn += self._pool.withdraw(lambda i: self._number_of(i) == number)
        partition.close()
        if not self._closed:
            self._background.spawn(self._regain(partition))

    async def _regain(self, partition: Partition) -> None:
        await partition.wait_idle()
        self._dropped.append(partition.lease)
        try:
            await self.acquire()
        except StorageUnavailable as error:
            self._outage.began("ownership", error)  # the upkeep tries again
        self.look_after()

    async def _release(self) -> None:
        if self._dropped:
            dropped = list(self._dropped)
            await self._hub.release(dropped, self._running_in({d.partition for d in dropped}))
            del self._dropped[: len(dropped)]
        if self._withdrawn:
            withdrawn = list(self._withdrawn)
            await self._hub.offer_activities(withdrawn)
            del self._withdrawn[: len(withdrawn)]

    def _running_in(self, partitions: Collection[int]) -> Sequence[TaskKey]:
        """Calls of these partitions that were begun here and whose result is not stored."""
        return [k for k in self._pool.held if self._number_of(k.instance_id) in partitions]

    async def _examine(self) -> None:
        await self._poison.examine([host.host_id for host in await self._hub.hosts()])

    def _number_of(self, instance_id: str) -> int:
        return partition_of(instance_id, self._partition_count)

    # ---- upkeep ----------------------------------------------------------------------------

    def look_after(self) -> None:
        """From now on look for what is missing, soon; or in time for the next timers."""
        if self._closed:
            return
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        is_settled = len(self) >= self.share and not self._dropped and not self._withdrawn
        is_settled = is_settled and all(p.is_recovered for p in self._held.values())
        when = self._clock.now() + (self._rest if is_settled and self._rest else _UPKEEP)
        self._upkeep_alarm = self._clock.call_at(
            when, lambda: self._background.spawn(self._upkeep())
        )

    async def _upkeep(self) -> None:
        """Take what is missing, load the timers of the next minutes."""
        failures = self._outage.failures
        try:
            await self.acquire()
            await self.take_back()
            for partition in list(self._held.values()):
                await partition.extend_horizon()
            self._outage.ended("ownership", failures)
        except StorageUnavailable as error:
            self._outage.began("ownership", error)
        finally:
            self.look_after()

    async def close(self) -> None:
        """Take nothing any more."""
        self._closed = True
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        await self._background.cancel()


def _say_failed(error: BaseException) -> None:
    log.error("A step that keeps the partitions of this host failed.", exc_info=error)

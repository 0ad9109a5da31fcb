"""The engine of one host: owns its share of the partitions, delivers their mail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from pathlib import Path

from func_py.clock import Clock, Timer
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.balance import candidates, fair_share
from func_py.durable.engine.entity_pool import EntityPool, EntityRunner, NoEntities
from func_py.durable.engine.exchange import Exchange
from func_py.durable.engine.functions import ActivityRunner, FunctionTable
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.options import EngineOptions
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.partition import Partition
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.sessions import SessionCache
from func_py.durable.engine.slot import Slot
from func_py.durable.engine.verifier import Verifier
from func_py.durable.faults import reach
from func_py.durable.model import ActivityResult, ActivityTask, InstanceState, partition_of
from func_py.durable.storage.base import (
    Capability,
    HostRecord,
    HubInfo,
    Lease,
    TaskHub,
    TaskKey,
)
from func_py.errors import LeaseLost, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_UPKEEP = timedelta(seconds=5)

_PATIENCE_S = 5.0
"""How long a partition that another host is to have waits for operations of its entities."""

_LAST_RESULTS_S = 5.0
"""How long a host that ends waits until the results of its last activities are stored."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0


class Engine:
    """Runs the orchestrations of this host's share of the partitions."""

    def __init__(
        self,
        hub: TaskHub,
        info: HubInfo,
        functions: FunctionTable,
        runner: ActivityRunner,
        clock: Clock,
        options: EngineOptions,
        host_id: str,
        *,
        entities: EntityRunner | None = None,
        hand_dir: Path | None = None,
        ended: Callable[[InstanceState], None] | None = None,
    ) -> None:
        """The hub must be open; `host_id` is the id it was opened with. `hand_dir`: where this
        machine notes the work in hand, so that work which kills the process is found out.
        `ended` is told of each orchestration that ended here."""
        self._hub = hub
        self._info = info
        self._clock = clock
        self._options = options
        self._host_id = host_id
        self._partitions: dict[int, Partition] = {}
        self._share = info.partition_count
        """How many partitions are for this host."""
        self._others: Sequence[HostRecord] = ()
        """The other hosts that run functions."""
        self._dropped: list[Lease] = []
        """Leases to be given back before the partitions can be had again."""
        self._withdrawn: list[ActivityTask] = []
        """Calls of partitions that were lost, to be given up where they are still ours."""
        self._acquiring = asyncio.Lock()
        self._outage = Outage()
        self._tasks: set[asyncio.Task[None]] = set()
        self._upkeep_alarm: Timer | None = None
        self._retired = False
        self._stopping = False
        self._heartbeat = Heartbeat(hub, self._renew, self._outage)
        # An entity notes itself and, when it is suspected, the operation.
        notes = options.max_activities + 2 * options.max_entities
        self._poison = Poison(hand_dir, host_id, notes)
        self._entities = EntityPool(
            entities or NoEntities(functions), options.max_entities, self._poison
        )
        self._pool = ActivityPool(
            runner,
            options.max_activities,
            self._activity_done,
            lambda name: self._elsewhere("activity", name),
            self._poison,
            clock,
            self._heartbeat,
        )
        self._exchange = Exchange(
            hub, self._pool, functions.activities(), clock, self._outage, self._take_back
        )
        self._functions = functions
        self._sessions = SessionCache(
            clock, options.session_bytes, options.session_idle, self._evict
        )
        self._verifier = Verifier(hub, functions) if options.verify else None
        self._parts = Parts(
            hub=hub,
            functions=functions,
            clock=clock,
            options=options,
            pool=self._pool,
            exchange=self._exchange,
            heartbeat=self._heartbeat,
            entities=self._entities,
            delivers_once=Capability.TRANSACTIONS in info.capabilities,
            poison=self._poison,
            sessions=self._sessions,
            outage=self._outage,
            elsewhere=self._elsewhere,
            lost=self._lost,
            finished=self._verifier.offer if self._verifier is not None else lambda _: None,
            ended=ended or (lambda _: None),
        )

    @property
    def partitions(self) -> list[int]:
        """The partitions this host owns now, ascending."""
        return sorted(self._partitions)

    async def start(self) -> None:
        """Become one of the hosts that run functions; take what is free of our share, and begin.

        What other hosts have too much of comes to us soon.
        """
        self._spawn(self._receive())
        await self._hub.publish(self._functions.published())
        hosts = await self._hub.hosts()
        self._consider(hosts)
        await self._acquire()
        self._spawn(self._balance(hosts))
        self._arm_upkeep()

    async def retire(self, patience_s: float = _PATIENCE_S) -> None:
        """Give every partition up for good, for the other hosts to take at once.

        Activities that run go on here; those that wait go along. What an entity is doing gets
        `patience_s` seconds. The host stays a client of the hub.
        """
        self._retired = True
        self._share = 0
        try:
            await self._hub.publish([])
            while self._partitions:  # one may just have been acquired
                await self._give_up(list(self._partitions.values()), patience_s)
        except StorageUnavailable as error:
            self._outage.began("ownership", error)

    async def stop(self, grace: float) -> None:
        """Start nothing more, give what runs `grace` seconds, release the partitions.

        That is activities and entities. Everything acknowledged is in the store; what did not
        finish goes on with the next owner. Where there are other hosts, they have the partitions
        before the activities have ended.
        """
        if self._stopping:
            return
        self._stopping = True
        self._poison.close()
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        if self._others:
            await self.retire(grace)
        self._share = 0
        self._exchange.shut()
        await asyncio.gather(self._pool.close(grace), self._entities.close(grace))
        partitions = list(self._partitions.values())
        # Results of the last activities may still be on their way to the store.
        for partition in partitions:
            await partition.settle()
        for partition in partitions:
            partition.close()
        for partition in partitions:
            await partition.wait_idle()
        self._partitions.clear()
        self._sessions.close()
        if self._verifier is not None:
            self._verifier.close()
        await self._exchange.close(min(grace, _LAST_RESULTS_S))
        self._heartbeat.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._hub.release([partition.lease for partition in partitions])
        except StorageUnavailable as error:
            # They are free for others as soon as this host is gone.
            self._outage.began("ownership", error)

    # ---- partitions ------------------------------------------------------------------------

    async def _balance(self, hosts: Sequence[HostRecord]) -> None:
        """Follow the coming and going of hosts."""
        known: Sequence[HostRecord] = hosts
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                now = await self._hub.watch_hosts(known)
                known = ()  # until all that follows from it is done
                self._consider(now)
                await self._rebalance()
                if {host.host_id for host in hosts} - {host.host_id for host in now}:
                    await self._take_back()
            except StorageUnavailable as error:
                self._outage.began("hosts", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._outage.ended("hosts", failures)
            hosts = known = now

    def _consider(self, hosts: Sequence[HostRecord]) -> None:
        """What follows for us from who is there."""
        if self._retired or self._stopping:
            return
        running = {*candidates(hosts)} - {self._host_id}
        self._others = [host for host in hosts if host.host_id in running]
        self._share = fair_share(self._info.partition_count, hosts, self._host_id)
        if self._others:
            self._exchange.open()
        else:
            self._exchange.shut()

    async def _rebalance(self) -> None:
        """Give up what is more than our share, or take what is missing."""
        await self._renew()
        owned = sorted(self._partitions)
        if len(owned) > self._share and (self._others or self._retired):
            surplus = [self._partitions[number] for number in owned[self._share :]]
            log.info("Partitions %s go to other hosts.", owned[self._share :])
            await self._give_up(surplus, _PATIENCE_S)
        await self._acquire()
        self._arm_upkeep()

    async def _renew(self) -> None:
        """Make sure that we count as alive; drop what others have taken from us."""
        async with self._acquiring:
            leases = await self._hub.renew()
            gone = [p for p in self._partitions.values() if p.lease not in leases]
        for partition in gone:
            self._lost(partition, "another host has it")

    async def _give_up(self, partitions: Sequence[Partition], patience_s: float) -> None:
        """Let other hosts have partitions, as soon as what was begun is stored."""
        numbers = {partition.lease.partition for partition in partitions}
        self._pool.withdraw(lambda instance_id: self._partition_of(instance_id) in numbers)
        await asyncio.gather(*(partition.leave(patience_s) for partition in partitions))
        for partition in partitions:
            number = partition.lease.partition
            if self._partitions.get(number) is partition:
                del self._partitions[number]
                self._dropped.append(partition.lease)
        await self._acquire()

    async def _acquire(self) -> None:
        """Give back what was dropped, take what is free of our share, recover what was taken.

        Where the store stops answering on the way, the next call goes on.
        """
        async with self._acquiring:
            await self._release_dropped()
            missing = [p for p in range(self._info.partition_count) if p not in self._partitions]
            wanted = min(self._share - len(self._partitions), len(missing))
            if wanted > 0:
                for lease in await self._hub.acquire(missing, wanted):
                    # Listed before it is recovered: mail that comes meanwhile must find it.
                    self._partitions[lease.partition] = Partition(lease, self._parts)
                reach("host.acquired")
            new = [p for p in self._partitions.values() if not p.is_recovered]
            if new:
                await self._poison.examine([host.host_id for host in await self._hub.hosts()])
            for partition in new:
                try:
                    await partition.recover()
                except LeaseLost as error:
                    self._lost(partition, str(error))

    async def _release_dropped(self) -> None:
        if self._dropped:
            dropped = list(self._dropped)
            await self._hub.release(dropped, self._running_in({d.partition for d in dropped}))
            del self._dropped[: len(dropped)]
        if self._withdrawn:
            withdrawn = list(self._withdrawn)
            await self._hub.offer_activities(withdrawn)
            del self._withdrawn[: len(withdrawn)]

    def _running_in(self, partitions: Collection[int]) -> list[TaskKey]:
        """Calls of these partitions that were begun here and whose result is not stored."""
        return [k for k in self._pool.held if self._partition_of(k.instance_id) in partitions]

    def _lost(self, partition: Partition, why: str) -> None:
        """Drop the partition's memory and try for it again."""
        number = partition.lease.partition
        if self._partitions.get(number) is not partition:
            return
        log.warning("Partition %d is dropped (%s).", number, why)
        del self._partitions[number]
        self._withdrawn += self._pool.withdraw(lambda i: self._partition_of(i) == number)
        partition.close()
        if not self._stopping:
            self._spawn(self._regain(partition))

    async def _regain(self, partition: Partition) -> None:
        await partition.wait_idle()
        self._dropped.append(partition.lease)
        try:
            await self._acquire()
        except StorageUnavailable as error:
            self._outage.began("ownership", error)  # the upkeep tries again
        self._arm_upkeep()

    async def _take_back(self) -> None:
        """Run what hosts that have gone left in our partitions."""
        await self._poison.examine([host.host_id for host in await self._hub.hosts()])
        for partition in list(self._partitions.values()):
            if not partition.is_recovered or not partition.takes_results:
                continue
            try:
                self._pool.dispatch(await self._hub.take_back_activities(partition.lease))
            except LeaseLost as error:
                self._lost(partition, str(error))

    def _arm_upkeep(self) -> None:
        """Soon when a partition is missing, otherwise in time for the next timers."""
        if self._stopping:
            return
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        settled = len(self._partitions) >= self._share and not self._dropped
        settled = settled and all(p.is_recovered for p in self._partitions.values())
        when = self._clock.now() + (self._options.timer_horizon / 2 if settled else _UPKEEP)
        self._upkeep_alarm = self._clock.call_at(when, lambda: self._spawn(self._upkeep()))

    async def _upkeep(self) -> None:
        """Look for partitions that are missing, load the timers of the next minutes."""
        failures = self._outage.failures
        try:
            await self._acquire()
            for partition in list(self._partitions.values()):
                await partition.extend_horizon()
            self._outage.ended("ownership", failures)
        except StorageUnavailable as error:
            self._outage.began("ownership", error)
        finally:
            self._arm_upkeep()

    async def _receive(self) -> None:
        pause = 0.1
        while True:
            failures = self._outage.failures
            try:
                mails = await self._hub.receive()
            except StorageUnavailable as error:
                self._outage.began("mail", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
                continue
            pause = 0.1
            self._outage.ended("mail", failures)
            for mail in mails:
                partition = self._partitions.get(mail.partition)
                if partition is not None:
                    partition.deliver(mail)

    # ---- shared by the partitions ----------------------------------------------------------

    def _activity_done(self, task: ActivityTask, result: ActivityResult) -> None:
        partition = self._partitions.get(self._partition_of(task.instance_id))
        if partition is not None and partition.takes_results:
            partition.activity_done(task, result)
        else:
            self._exchange.complete(task, result)

    def _evict(self, slot: Slot) -> bool:
        partition = self._partitions.get(self._partition_of(slot.instance_id))
        return partition is None or partition.evict(slot)

    def _partition_of(self, instance_id: str) -> int:
        return partition_of(instance_id, self._info.partition_count)

    async def _elsewhere(self, kind: str, name: str) -> bool:
        wanted = f"{kind}:{name}".lower()
        hosts = await self._hub.hosts()
        return any(host.host_id != self._host_id and wanted in host.functions for host in hosts)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A background step of the engine failed.", exc_info=error)

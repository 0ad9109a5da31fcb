"""The engine of one host: owns partitions, delivers their mail, keeps them while the host lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from func_py.clock import Clock, Timer
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.background import Background
from func_py.durable.engine.edit_check import Misfits
from func_py.durable.engine.entity_pool import EntityPool, EntityRunner, NoEntities
from func_py.durable.engine.functions import ActivityRunner, FunctionTable
from func_py.durable.engine.leftovers import Leftovers
from func_py.durable.engine.options import EngineOptions
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.partition import Partition
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.sessions import SessionCache
from func_py.durable.engine.slot import Slot
from func_py.durable.engine.turn_limit import TurnLimit
from func_py.durable.engine.verifier import Verifier
from func_py.durable.faults import reach
from func_py.durable.model import ActivityResult, ActivityTask, InstanceState, partition_of
from func_py.durable.storage.base import Capability, HostRecord, HubInfo, Lease, TaskHub
from func_py.errors import LeaseLost, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_UPKEEP = timedelta(seconds=5)

_LAST_RESULTS_S = 5.0
"""What the results of the last activities get to be stored."""

_ENTITY_GRACE_S = 0.25
"""What operations of entities get when their partition is handed over: others wait for it."""


class Engine:
    """Runs the orchestrations of every partition this host can get."""

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
        misfits: Misfits | None = None,
    ) -> None:
        """The hub must be open; `host_id` is the id it was opened with. `hand_dir`: where this
        machine notes the work in hand, so that work which kills the process is found out.
        `ended` is told of each orchestration that ended here. With `misfits`, instances that do
        not fit the code are held and told to it; without, they fail."""
        self._hub = hub
        self._info = info
        self._clock = clock
        self._options = options
        self._host_id = host_id
        self._partitions: dict[int, Partition] = {}
        self._dropped: list[Lease] = []
        """Leases to be given back before the partitions can be had again."""
        self._acquiring = asyncio.Lock()
        self._outage = Outage()
        self._has_others = True
        """Other hosts may hold activities of our partitions, or did when we last looked."""
        self._background = Background(_say_failed)
        self._upkeep_alarm: Timer | None = None
        self._stopping = False
        # An entity notes itself and, when it is suspected, the operation.
        notes = options.max_activities + 2 * options.max_entities
        self._poison = Poison(hand_dir, host_id, notes)
        self._entities = EntityPool(
            entities or NoEntities(functions), options.max_entities, self._poison
        )
        payloads = Payloads(hub.read_activity, info.payload_limit, options.max_payloads)
        self._pool = ActivityPool(
            runner,
            options.max_activities,
            self._activity_done,
            lambda name: self._elsewhere("activity", name),
            self._poison,
            payloads,
            clock,
        )
        self._leftovers = Leftovers(hub, clock, self._outage, self._pool.forget)
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
            entities=self._entities,
            turns=TurnLimit(options.max_orchestrators),
            replays=asyncio.Semaphore(options.max_replays),
            payloads=payloads,
            delivers_once=Capability.TRANSACTIONS in info.capabilities,
            poison=self._poison,
            sessions=self._sessions,
            outage=self._outage,
            elsewhere=self._elsewhere,
            lost=self._lost,
            finished=self._verifier.offer if self._verifier is not None else lambda _: None,
            ended=ended or (lambda _: None),
            misfits=misfits,
        )

    @property
    def partitions(self) -> list[int]:
        """The partitions this host owns now, ascending."""
        return sorted(self._partitions)

    async def start(self) -> None:
        """Take the free partitions and begin; the others are tried for again now and then."""
        self._background.spawn(self._receive())
        self._has_others = bool(await self._others())
        await self._acquire()
        self._arm_upkeep()

    async def hand_over(self) -> None:
        """Run no more turns here and free the partitions, for another host to take at once.

        What is under way is stored first. Activities that wait go along; those that run go on here,
        and their results reach whoever owns the partition by then.
        """
        if self._stopping:
            return
        self._stopping = True
        self._poison.close()
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        self._pool.start_no_more()
        await self._entities.close(_ENTITY_GRACE_S)
        await self._let_go()

    async def stop(self, grace: float) -> None:
        """Start nothing more, give what runs `grace` seconds, release the partitions.

        That is activities and entities. Everything acknowledged is in the store; what did not
        finish goes on with the next owner.
        """
        if self._stopping:
            await self._pool.close(grace)
            await self._leftovers.close(max(grace, _LAST_RESULTS_S))
            return
        self._stopping = True
        self._poison.close()
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        await asyncio.gather(self._pool.close(grace), self._entities.close(grace))
        await self._let_go()
        await self._leftovers.close(_LAST_RESULTS_S)

    async def _let_go(self) -> None:
        # Mail first, or the turns would never end on a busy hub.
        await self._background.cancel()
        partitions = list(self._partitions.values())
        self._parts.turns.lift()
        # Results of the last activities may still be on their way to the store.
        for partition in partitions:
            await partition.settle()
        # No wait until here: from now on results go to the store.
        self._partitions.clear()
        for partition in partitions:
            partition.close()
        for partition in partitions:
            await partition.wait_idle()
        self._sessions.close()
        if self._verifier is not None:
            self._verifier.close()
        try:
            await self._hub.publish([])
            keep = [*self._pool.running, *self._leftovers.keys]
            await self._hub.release([partition.lease for partition in partitions], keep)
        except StorageUnavailable as error:
            # They are free for others as soon as this host is gone.
            self._outage.began("ownership", error)

    # ---- partitions ------------------------------------------------------------------------

    async def _acquire(self) -> None:
        """Give back what was dropped, take what is free, recover what was taken.

        Where the store stops answering on the way, the next call goes on.
        """
        async with self._acquiring:
            if self._dropped:
                dropped = list(self._dropped)
                await self._hub.release(dropped)
                del self._dropped[: len(dropped)]
            missing = [p for p in range(self._info.partition_count) if p not in self._partitions]
            if missing:
                for lease in await self._hub.acquire(missing):
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

    def _lost(self, partition: Partition, why: str) -> None:
        """Drop the partition's memory and try for it again."""
        number = partition.lease.partition
        if self._partitions.get(number) is not partition:
            return
        log.warning("Partition %d is dropped (%s).", number, why)
        del self._partitions[number]
        partition.close()
        if not self._stopping:
            self._background.spawn(self._regain(partition))

    async def _regain(self, partition: Partition) -> None:
        await partition.wait_idle()
        self._dropped.append(partition.lease)
        try:
            await self._acquire()
        except StorageUnavailable as error:
            self._outage.began("ownership", error)  # the upkeep tries again
        self._arm_upkeep()

    async def _take_back(self) -> None:
        """Run what other hosts held in our partitions when they ended.

        Without transactions nobody knows whether they ended: it comes back when its time is up.
        """
        had_others, self._has_others = self._has_others, bool(await self._others())
        if had_others or not self._parts.delivers_once:
            for partition in list(self._partitions.values()):
                await partition.take_back()

    async def _others(self) -> list[HostRecord]:
        return [host for host in await self._hub.hosts() if host.host_id != self._host_id]

    def _arm_upkeep(self) -> None:
        """Soon when a partition is missing, otherwise in time for the next timers."""
        if self._stopping:
            return
        if self._upkeep_alarm is not None:
            self._upkeep_alarm.cancel()
        settled = len(self._partitions) == self._info.partition_count and not self._dropped
        settled = settled and not self._has_others
        settled = settled and all(p.is_recovered for p in self._partitions.values())
        # Without transactions, activities of dead hosts come back when their time is up.
        settled = settled and self._parts.delivers_once
        when = self._clock.now() + (self._options.timer_horizon / 2 if settled else _UPKEEP)
        self._upkeep_alarm = self._clock.call_at(
            when, lambda: self._background.spawn(self._upkeep())
        )

    async def _upkeep(self) -> None:
        """Look for partitions that are missing, load the timers of the next minutes."""
        failures = self._outage.failures
        try:
            await self._acquire()
            await self._take_back()
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
        number = partition_of(task.instance_id, self._info.partition_count)
        partition = self._partitions.get(number)
        if partition is not None:
            partition.activity_done(task, result)
        else:
            # Not ours any more. Whoever owns it gets the result, or runs the call again.
            self._leftovers.store(task, result)

    def _evict(self, slot: Slot) -> bool:
        number = partition_of(slot.instance_id, self._info.partition_count)
        partition = self._partitions.get(number)
        return partition is None or partition.evict(slot)

    async def _elsewhere(self, kind: str, name: str) -> bool:
        wanted = f"{kind}:{name}".lower()
        return any(wanted in host.functions for host in await self._others())


def _say_failed(error: BaseException) -> None:
    log.error("A background step of the engine failed.", exc_info=error)

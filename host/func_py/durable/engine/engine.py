"""The engine of one host: owns its share of the partitions, delivers their mail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from func_py.clock import Clock
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.background import Background
from func_py.durable.engine.balance import candidates, difference_of, fair_share
from func_py.durable.engine.edit_check import Misfits
from func_py.durable.engine.entity_pool import EntityPool, EntityRunner, NoEntities
from func_py.durable.engine.exchange import Exchange
from func_py.durable.engine.functions import ActivityRunner, FunctionTable
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.holdings import Holdings
from func_py.durable.engine.line import LONGEST_LINE
from func_py.durable.engine.live import LiveInstance, look
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
from func_py.durable.model import ActivityResult, ActivityTask, InstanceState
from func_py.durable.storage.base import Capability, HostRecord, HubInfo, TaskHub
from func_py.errors import StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_PATIENCE_S = 5.0
"""What operations of entities get when their partition goes to a host that has too little."""
_HURRY_S = 0.25
"""What they get when this host hands over: nobody else has the partition meanwhile."""

_LAST_RESULTS_S = 5.0
"""What the results of the last activities get to be stored."""

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
        misfits: Misfits | None = None,
    ) -> None:
        """The hub must be open; `host_id` is the id it was opened with. `hand_dir`: where this
        machine notes the work in hand, so that work which kills the process is found out.
        `ended` is told of each orchestration that ended here. With `misfits`, instances that do
        not fit the code are held and told to it; without, they fail."""
        self._hub = hub
        self._partition_count = info.partition_count
        self._functions = functions
        self._host_id = host_id
        self._others: Sequence[HostRecord] = ()
        """The other hosts that run functions."""
        self._told: set[str] = set()
        """Hosts whose functions are not ours, and this was said."""
        self._outage = Outage()
        self._background = Background(_say_failed)
        self._has_handed_over = False
        self._heartbeat = Heartbeat(hub, lambda: self._holdings.renew(), self._outage)
        # An entity notes itself and, when it is suspected, the operation.
        notes = options.max_activities + LONGEST_LINE + 2 * options.max_entities
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
            self._heartbeat,
        )
        delivers_once = Capability.TRANSACTIONS in info.capabilities
        self._holdings = Holdings(
            hub,
            info.partition_count,
            self._pool,
            self._poison,
            self._outage,
            clock,
            # Without transactions, activities of dead hosts come back when their time is up.
            options.timer_horizon / 2 if delivers_once else None,
            lambda lease: Partition(lease, self._parts),
        )
        self._exchange = Exchange(
            hub, self._pool, functions.activities(), clock, self._outage, self._holdings.take_back
        )
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
            turns=TurnLimit(options.max_orchestrators),
            replays=asyncio.Semaphore(options.max_replays),
            payloads=payloads,
            delivers_once=delivers_once,
            poison=self._poison,
            sessions=self._sessions,
            outage=self._outage,
            elsewhere=self._elsewhere,
            lost=self._holdings.lost,
            finished=self._verifier.offer if self._verifier is not None else lambda _: None,
            ended=ended or (lambda _: None),
            misfits=misfits,
        )

    @property
    def partitions(self) -> Sequence[int]:
        """The partitions this host owns now, ascending."""
        return list(self._holdings)

    async def look(self, instance_id: str) -> LiveInstance:
        """What this host knows of an instance beyond what is stored."""
        return await look(self._parts, self._holdings.of(instance_id), instance_id)

    @property
    def turn(self) -> tuple[str, str, float] | None:
        """Whose code has the event loop now: instance id, orchestrator, and since when by the
        loop's clock. May be asked in any thread."""
        if (turn := self._parts.turn) is None:
            return None
        slot, began = turn
        return slot.instance_id, slot.state.name if slot.state is not None else "", began

    async def start(self) -> None:
        """Become one of the hosts that run functions; take what is free of our share, and begin.

        What other hosts have too much of comes to us soon.
        """
        self._background.spawn(self._receive())
        await self._hub.publish(self._functions.published())
        hosts = await self._hub.hosts()
        self._consider(hosts)
        await self._holdings.acquire()
        self._background.spawn(self._balance(hosts))
        self._holdings.look_after()

    async def hand_over(self, patience_s: float = _HURRY_S) -> None:
        """Run no more turns here; free the partitions, for other hosts to take at once.

        What is under way is stored first. Activities that wait go along; those that run go on here,
        and their results reach whoever owns the partition by then. Operations of entities get
        `patience_s` seconds. The host stays a client of the hub.
        """
        if self._has_handed_over:
            return
        self._has_handed_over = True
        self._exchange.shut()
        self._poison.close()
        try:
            await self._hub.publish([])
        except StorageUnavailable as error:
            self._outage.began("ownership", error)
        self._holdings.retire()
        await self._entities.close(patience_s)
        self._parts.turns.lift()
        try:
            await self._holdings.give_up_all(patience_s)
        except StorageUnavailable as error:
            # The upkeep tries again; they are free for others as soon as this host is gone.
            self._outage.began("ownership", error)

    async def stop(self, grace: float) -> None:
        """Start nothing more, give what runs `grace` seconds, release the partitions.

        That is activities and entities. Everything acknowledged is in the store; what did not
        finish goes on with the next owner. Where there are other hosts, they have the partitions
        before the activities have ended.
        """
        if not self._others and not self._has_handed_over:
            # Nobody else would take what becomes of them.
            await asyncio.gather(self._pool.close(grace), self._entities.close(grace))
        await self.hand_over(min(grace, _PATIENCE_S))
        await self._pool.close(grace)
        await self._exchange.close(max(grace, _LAST_RESULTS_S))
        await self._holdings.close()
        self._heartbeat.close()
        await self._background.cancel()
        self._sessions.close()
        if self._verifier is not None:
            self._verifier.close()

    # ---- among the hosts -------------------------------------------------------------------

    async def _balance(self, hosts: Sequence[HostRecord]) -> None:
        """Follow the coming and going of hosts."""
        known: Sequence[HostRecord] = hosts
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                now = await self._hub.watch_hosts(known)
                known = ()  # until all that follows from it is done
                await self._holdings.renew()
                if is_known := any(host.host_id == self._host_id for host in now):
                    self._consider(now)
                    await self._rebalance()
                if {host.host_id for host in hosts} - {host.host_id for host in now}:
                    self._holdings.reconsider()
                    await self._holdings.take_back()
            except StorageUnavailable as error:
                self._outage.began("hosts", error)
                is_known = False
            else:
                self._outage.ended("hosts", failures)
                hosts = now
            if is_known:
                known = hosts
                pause_s = _FIRST_PAUSE_S
            else:  # or the others have taken us for dead: ask again
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _consider(self, hosts: Sequence[HostRecord]) -> None:
        """What follows for us from who is there."""
        if self._has_handed_over:
            return
        running = {*candidates(hosts)} - {self._host_id}
        self._others = [host for host in hosts if host.host_id in running]
        self._tell_differences()
        self._holdings.share = fair_share(self._partition_count, hosts, self._host_id)
        if self._others:
            self._exchange.open()
        else:
            self._exchange.shut()

    def _tell_differences(self) -> None:
        for host in self._others:
            difference = difference_of(self._functions.published(), host.functions)
            if difference and host.host_id not in self._told:
                log.warning(
                    "Another host of this task hub has other functions (%s). What needs a function "
                    "that its host lacks waits until its partition moves; let all hosts of a hub "
                    "run the same app.",
                    difference,
                )
                self._told.add(host.host_id)

    async def _rebalance(self) -> None:
        """Give up what is more than our share, or take what is missing."""
        if self._has_handed_over:
            return
        surplus = self.partitions[self._holdings.share :]
        if surplus:
            log.info("Partitions %s go to other hosts.", surplus)
        await self._holdings.give_up(_PATIENCE_S)
        self._holdings.look_after()

    async def _receive(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                mails = await self._hub.receive()
            except StorageUnavailable as error:
                self._outage.began("mail", error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._outage.ended("mail", failures)
            for mail in mails:
                partition = self._holdings.get(mail.partition)
                if partition is not None:
                    partition.deliver(mail)

    # ---- shared by the partitions ----------------------------------------------------------

    def _activity_done(self, task: ActivityTask, result: ActivityResult) -> None:
        partition = self._holdings.of(task.instance_id)
        if partition is not None and partition.takes_results:
            partition.activity_done(task, result)
        else:
            # Not ours any more. Whoever owns it gets the result, or runs the call again.
            self._exchange.complete(task, result)

    def _evict(self, slot: Slot) -> bool:
        partition = self._holdings.of(slot.instance_id)
        return partition is None or partition.evict(slot)

    async def _elsewhere(self, kind: str, name: str) -> bool:
        wanted = f"{kind}:{name}".lower()
        hosts = await self._hub.hosts()
        return any(wanted in host.functions for host in hosts if host.host_id != self._host_id)


def _say_failed(error: BaseException) -> None:
    log.error("A background step of the engine failed.", exc_info=error)

"""The owner of one partition: delivers its mail, runs its turns, hands out their work.

All of it happens on one event loop. A turn runs when its instance has something in its inbox and no
turn that is not yet committed; what turns of one slice of the loop produce goes to the store
together. Effects (activities, timers) start only after the commit answered.

It is longer than other modules, because it is one state machine: whether a slot is busy, and
whether the partition takes mail, leaves or is closed, is decided by all of what is below.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from func_py.durable.engine.activities import task_key
from func_py.durable.engine.background import Background
from func_py.durable.engine.entities import Entities, LiveBatch
from func_py.durable.engine.loader import Loader, closed_turns
from func_py.durable.engine.orchestrations import Orchestrations
from func_py.durable.engine.outage import Retries
from func_py.durable.engine.owner import Processor
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.pump import Pump
from func_py.durable.engine.slot import Item, Running, Slot
from func_py.durable.engine.slots import Slots
from func_py.durable.engine.timers import NextTimers
from func_py.durable.engine.turns import activity_event
from func_py.durable.faults import reach
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    RuntimeStatus,
    TimerFired,
    TimerTask,
)
from func_py.durable.storage.base import (
    Committed,
    Lease,
    Lost,
    LostReason,
    Mail,
    TaskKey,
    Turn,
)
from func_py.errors import LeaseLost, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_Commit: TypeAlias = asyncio.Future[Sequence[Committed | Lost]]
"""Turns on their way to the store."""


class Partition:
    """One partition held under one lease; thrown away when the lease ends."""

    def __init__(self, lease: Lease, parts: Parts) -> None:
        self.lease = lease
        self._parts = parts
        self._slots = Slots(parts.sessions, self.discard)
        self._pump = Pump(parts, self._begin_if_due, self._commit)
        self._begins_operations = True
        self._leaving = False
        self._closed = False
        self._retries = Retries(parts.clock, self.enqueue)
        self.loader = Loader(
            parts.hub,
            parts.functions,
            parts.poison,
            parts.clock,
            parts.options.replay_slice,
            parts.replays,
        )
        self._orchestrations = Orchestrations(self, parts)
        self._entities = Entities(self, parts)
        span = parts.options.timer_horizon
        self._timers = NextTimers(parts.hub, lease, parts.clock, span, self._fire)
        self._early: list[Mail] | None = []
        """Mail that came before what was stored is recovered: it is newer than that."""
        self._background = Background(self._failed)
        self._operations = Background(self._failed)

    @property
    def is_recovered(self) -> bool:
        """Is everything here that was stored when the lease began?"""
        return self._early is None

    def slot(self, instance_id: str) -> Slot | None:
        """What is held of an instance, to look at."""
        return self._slots.get(instance_id)

    def batch_of(self, instance_id: str) -> LiveBatch | None:
        """What an entity does now."""
        return self._entities.batches.get(instance_id)

    @property
    def takes_results(self) -> bool:
        """Are results of activities for us, and not for the next owner?"""
        return not self._leaving and not self._closed

    # ---- deliveries ------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take over what the store holds for this partition; raises LeaseLost."""
        until = self._timers.next_horizon
        found = await self._parts.hub.recover(self.lease, until)
        if not self.takes_results:
            return
        early, self._early = self._early, None
        for mail in (*found.mail, *(early or ())):
            self.deliver(mail)
        self._timers.recovered(found.timers, until)
        self._parts.pool.dispatch(found.activities)

    async def extend_horizon(self) -> None:
        """See `NextTimers.extend`."""
        await self._timers.extend()

    async def take_back(self) -> None:
        """Run the activities of this partition that nobody runs."""
        try:
            tasks = await self._parts.hub.take_back_activities(self.lease)
        except LeaseLost as error:
            self._parts.lost(self, str(error))
            return
        if not self._closed:
            self._parts.pool.dispatch(tasks)

    def reconsider(self) -> None:
        """Try again what waits for another host, which may be gone."""
        for slot in self._slots.all():
            if slot.parked and slot.lacks_function:
                slot.parked = slot.lacks_function = False
                self.enqueue(slot)

    def deliver(self, mail: Mail) -> None:
        """Put a message into its instance's inbox; stale mail and second deliveries are dropped."""
        if self._leaving or self._closed or mail.epoch != self.lease.epoch:
            return
        if self._early is not None:
            self._early.append(mail)
            return
        slot = self._slots.receive(mail)
        if slot is not None:
            self.enqueue(slot)

    def activity_done(self, task: ActivityTask, result: ActivityResult) -> None:
        """An activity of an instance of this partition ended."""
        now = self._parts.clock.now()
        event = activity_event(task, result, now)
        self._put(task.instance_id, Item(event, task.execution_id, task=task_key(task)))

    def _fire(self, timer: TimerTask) -> None:
        reach("timer.fired")
        event = TimerFired(
            timestamp=self._parts.clock.now(), task_id=timer.task_id, fire_at=timer.fire_at
        )
        self._put(timer.instance_id, Item(event, timer.execution_id, timer=timer.task_id))

    def _put(self, instance_id: str, item: Item) -> None:
        if self.takes_results:
            self.enqueue(self._slots.put(instance_id, item))

    # ---- turns -----------------------------------------------------------------------------

    def enqueue(self, slot: Slot) -> None:
        """See `Owner.enqueue`."""
        if not (slot.queued or slot.busy or slot.parked):
            self._pump.enqueue(slot)

    def _begin_if_due(self, slot: Slot) -> Running | None:
        is_due = slot.inbox and not slot.busy and self._slots.holds(slot)
        return self._begin(slot) if is_due else None

    def _begin(self, slot: Slot) -> Running | None:
        """Let the slot have a turn; an orchestration has its place until that is stored."""
        if slot.is_entity and not self._begins_operations:
            return None
        try:
            running = self._processor(slot).begin(slot)
        except Exception as error:  # noqa: BLE001 - one edge: a bad instance harms no other
            running = self._processor(slot).quarantine(slot, error)
        if running is not None and not slot.is_entity:
            self._parts.turns.take()
        return running

    def _processor(self, slot: Slot) -> Processor:
        return self._entities if slot.is_entity else self._orchestrations

    def submit(self, running: Running) -> None:
        """See `Owner.submit`."""
        if not self._closed:
            if not running.slot.is_entity:
                self._parts.turns.take()
            _ = self._commit([running])

    # ---- loading ---------------------------------------------------------------------------

    def load(self, slot: Slot, *, history: bool) -> None:
        """See `Owner.load`."""
        withheld = [item for item in slot.inbox[:1] if item.withheld]
        self._prepare(slot, withheld, history=history)

    def fetch(self, slot: Slot, items: Sequence[Item]) -> None:
        """See `Owner.fetch`."""
        self._prepare(slot, items, history=None)

    def _prepare(self, slot: Slot, withheld: Sequence[Item], *, history: bool | None) -> None:
        """Have a turn begin when payloads were read and, unless `history` is None, the instance."""
        slot.busy = True
        if not slot.is_entity:
            self._parts.turns.take()
        prepare = self._run_with if withheld else self._run_loaded
        self.spawn(prepare(slot, withheld, history=history))

    async def _run_with(
        self, slot: Slot, withheld: Sequence[Item], *, history: bool | None
    ) -> None:
        """A turn that takes large messages, which are in memory no longer than they must."""
        light = [item.event for item in withheld]
        async with self._parts.payloads.places:
            commit = await self._run_loaded(slot, withheld, history=history)
            if commit is not None:
                await asyncio.wait([commit])
        # What is not stored now waits again, without its payload.
        for item, event in zip(withheld, light, strict=True):
            item.event, item.withheld = event, True

    async def _run_loaded(
        self, slot: Slot, withheld: Sequence[Item], *, history: bool | None
    ) -> _Commit | None:
        """Load, and let the slot have its turn at once, not behind others: it weighs something."""
        try:
            running = await self._load(slot, withheld, history=history)
            return None if running is None else self._commit([running])
        finally:
            if not slot.is_entity:
                self._parts.turns.give(1)

    async def _load(
        self, slot: Slot, withheld: Sequence[Item], *, history: bool | None
    ) -> Running | None:
        generation = slot.generation
        before = list(slot.inbox)
        try:
            there = await self.loader.fetch(slot, withheld, self.lease) or history is None
            there = there or await self.loader.load(slot, history=bool(history))
        except StorageUnavailable as error:
            slot.busy = False
            self._later([slot], error)
            return None
        except Exception as error:  # noqa: BLE001 - one edge: a damaged record harms no other
            slot.busy = False
            slot.forget()
            self._processor(slot).quarantine(slot, error)
            return None
        if self._closed or not self._slots.holds(slot):
            return None
        slot.busy = False
        if len(slot.inbox) < len(before):
            # What history has already, and is stored all the same.
            kept = {item.message_id for item in slot.inbox}
            self.discard([i for i in before if i.message_id and i.message_id not in kept])
        unanswered, slot.unanswered = slot.unanswered, None
        if slot.generation != generation:
            slot.forget()
            self.enqueue(slot)
        elif there and unanswered is not None and unanswered.token != slot.token:
            # The commit had happened: what it handed out is stored, and nowhere in memory.
            self._parts.lost(self, "a commit that was not answered had happened")
        elif not there:
            # Purged, replaced, or never there; what a replacement brings comes with its start mail.
            stray, slot.inbox = slot.inbox, []
            self.discard(stray)
            self._detach(slot)
        elif slot.inbox:
            return self._begin(slot)
        else:
            self.evict(slot)
        return None

    # ---- committing ------------------------------------------------------------------------

    def _commit(self, batch: Sequence[Running]) -> _Commit:
        """Give turns to the store, at once: a task would begin an iteration of the loop later."""
        failures = self._parts.outage.failures
        commit: _Commit
        try:
            commit = asyncio.ensure_future(self._parts.hub.commit([r.turn for r in batch]))
        except Exception as error:  # noqa: BLE001 - handled where the others are
            commit = asyncio.get_running_loop().create_future()
            commit.set_exception(error)

        def answered(commit: _Commit) -> None:
            try:
                self._answered(batch, commit, failures)
            except Exception as error:  # noqa: BLE001 - one edge: memory may be half changed
                self._failed(error)
            finally:
                self._background.ended(commit)
                self._parts.turns.give(sum(not running.slot.is_entity for running in batch))

        commit.add_done_callback(answered)
        self._background.add(commit)
        return commit

    def _answered(
        self,
        batch: Sequence[Running],
        commit: _Commit,
        failures: int,
    ) -> None:
        try:
            outcomes = commit.result()
        except StorageUnavailable as error:
            for running in batch:
                self._undo(running)
                running.slot.unanswered = running.turn
            self._later([running.slot for running in batch], error)
            return
        except asyncio.CancelledError:
            for running in batch:
                self._undo(running)
            return
        except Exception:
            for running in batch:
                self._undo(running)
            raise
        self._parts.outage.ended("turns", failures)
        self._retries.answered()
        reach("turn.after_commit")
        why = ""
        now = self._parts.clock.now()
        for running, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Committed):
                self._settle(running, outcome, now)
                continue
            self._undo(running)
            if self._closed:
                continue
            match outcome.reason:
                case LostReason.FENCED | LostReason.MISSING:
                    why = f"{outcome.reason.name.lower()}: {outcome.detail}"
                case LostReason.STALE:
                    self.enqueue(running.slot)
                case LostReason.REJECTED:
                    self._processor(running.slot).refused(running.slot, outcome.detail)
        # At last, because it closes this partition: every turn of the batch has been accounted for.
        if why:
            self._parts.lost(self, why)

    def _settle(self, running: Running, outcome: Committed, now: datetime) -> None:
        """The turn is durable: let its effects happen."""
        slot, _, turn = running
        state = turn.state
        if turn.taken:
            self._parts.pool.release(turn.taken)
            self._parts.poison.activities_settled(turn.taken)
        if turn.ended_timers:
            self._timers.cancel(slot.instance_id, state.execution_id, turn.ended_timers)
        if self._closed or not self._slots.holds(slot):
            return
        slot.settle(state, outcome.token)
        self._parts.poison.turn_settled(slot.instance_id, state.execution_id)
        if turn.replaces_history:
            self._continued(slot, turn)
        if turn.timers and not self._leaving:
            self._timers.add(turn.timers)
        if turn.drop_activities:
            self._parts.pool.drop(slot.instance_id, state.execution_id)
        if turn.activities and not self._leaving:
            self._parts.pool.dispatch(turn.activities)
        if state.status.is_terminal:
            self._end_session(slot)
            if state.entity is None:
                if state.status is not RuntimeStatus.TERMINATED:
                    self._parts.finished(state)
                self._parts.ended(state)
            if not slot.inbox:
                self.forget(slot)
                return
        elif slot.session is not None and not slot.session.sticky:
            # Code that reads its whole history is replayed for each turn.
            self._end_session(slot)
        else:
            self._parts.sessions.used(slot, now)
        if slot.inbox:
            self.enqueue(slot)
        elif not slot.opened and not slot.is_worth_keeping:
            self.forget(slot)

    def _continued(self, slot: Slot, turn: Turn) -> None:
        """The next execution begins with a session of its own."""
        self._end_session(slot)
        if closed_turns(turn.events) == 0:
            slot.opened = turn.events
        else:
            slot.forget()  # rewound: what stays of its history is replayed

    def _end_session(self, slot: Slot) -> None:
        slot.end_session()
        self._parts.sessions.dropped(slot)

    def _undo(self, running: Running) -> None:
        """The turn did not happen: its session has moved on, so drop it; the items wait again."""
        slot, items, _ = running
        slot.busy = False
        self._parts.sessions.dropped(slot)
        slot.forget()
        if self._closed or not self._slots.holds(slot):
            self._hand_in(items)
        else:
            slot.inbox[:0] = items

    def _later(self, slots: Sequence[Slot], error: Exception) -> None:
        """The store is away: try these again after a pause."""
        if not self._closed:
            self._parts.outage.began("turns", error)
            self._retries.add(slots)

    def discard(self, items: Sequence[Item]) -> None:
        """See `Owner.discard`."""
        messages = [item.message_id for item in items if item.message_id]
        activities = [item.task for item in items if item.task is not None]
        self._parts.pool.release(activities)
        if messages or activities:
            self.spawn(self._discard_now(messages, activities))

    async def _discard_now(self, messages: list[str], activities: list[TaskKey]) -> None:
        try:
            await self._parts.hub.discard(self.lease, messages, activities)
        except (StorageUnavailable, LeaseLost) as error:
            # They come back when the partition is recovered, and are discarded then.
            log.info("Stray mail stays stored for now: %s", error)

    # ---- letting go ------------------------------------------------------------------------

    def evict(self, slot: Slot) -> bool:
        """Drop an idle instance from memory; False when it is in use."""
        if slot.busy or slot.inbox or slot.queued:
            return False
        slot.end_session()
        self.forget(slot)
        return True

    def forget(self, slot: Slot) -> None:
        """See `Owner.forget`."""
        self._slots.drop(slot)

    def _detach(self, slot: Slot) -> None:
        self.forget(slot)
        self._parts.sessions.dropped(slot)
        slot.forget()
        self._hand_in(slot.inbox)
        slot.inbox = []

    def _hand_in(self, items: Sequence[Item]) -> None:
        """Store the results that no turn of ours will take."""
        for item in items:
            if item.task is not None:
                self._parts.exchange.hand_in(item.task, item.event)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """See `Owner.spawn`."""
        self._background.spawn(work)

    def operate(self, work: Coroutine[None, None, None]) -> None:
        """See `Owner.operate`."""
        self._operations.spawn(work)

    def _failed(self, error: BaseException) -> None:
        log.error("A step of partition %d failed.", self.lease.partition, exc_info=error)
        if not self._closed:
            self._parts.lost(self, str(error))

    async def leave(self, patience_s: float) -> None:
        """Take nothing more, store what was begun, and close. The next owner gets all the rest.

        Operations of entities get `patience_s` seconds, in which the others are not kept waiting;
        what lasts longer runs again there.
        """
        self._begins_operations = False
        await self._operations.wait(patience_s)
        self._leaving = True
        self._timers.close()
        while self._background or self._pump.has_next:
            if self._parts.heartbeat.is_fresh:
                self._pump.run()
            else:
                self._pump.clear()
            await self._background.wait()
        self.close()

    def close(self) -> None:
        """Run nothing more. Commits under way go on, but have no effects here."""
        self._closed = True
        self._timers.close()
        self._retries.close()
        for slot in self._slots.all():
            self._detach(slot)
        self._pump.close()

    async def wait_idle(self) -> None:
        """Wait for commits, loads and operations that are under way."""
        await self._background.wait()
        await self._operations.wait()

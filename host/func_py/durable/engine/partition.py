"""The owner of one partition: delivers its mail, runs its turns, hands out their work.

All of it happens on one event loop. A turn runs when its instance has something in its inbox and no
turn that is not yet committed; what turns of one slice of the loop produce goes to the store
together. Effects (activities, timers) start only after the commit answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from func_py.durable.engine.activities import task_key
from func_py.durable.engine.loader import Loader
from func_py.durable.engine.outage import Retries
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.slot import Item, Slot
from func_py.durable.engine.timers import TimerHeap
from func_py.durable.engine.turns import (
    activity_event,
    execution_turn,
    failing_turn,
    terminating_turn,
    turn_time,
)
from func_py.durable.faults import reach
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    ExecutionStarted,
    ExecutionTerminated,
    FailureDetails,
    InstanceState,
    RuntimeStatus,
    TimerFired,
    TimerTask,
    pending_state,
)
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import (
    Committed,
    Lease,
    LostReason,
    Mail,
    Recovered,
    TaskKey,
    Turn,
)
from func_py.errors import FuncPyError, LeaseLost, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_SLOW_TURN_S = 1.0


class Running(NamedTuple):
    """A turn on its way to the store."""

    slot: Slot
    items: Sequence[Item]
    turn: Turn


class Partition:
    """One partition held under one lease; thrown away when the lease ends."""

    def __init__(self, lease: Lease, parts: Parts) -> None:
        self.lease = lease
        self._parts = parts
        self._slots: dict[str, Slot] = {}
        self._ready: deque[Slot] = deque()
        self._pumping = False
        self._closed = False
        self._retries = Retries(parts.clock, self._enqueue)
        self._loader = Loader(parts.hub, parts.functions, parts.poison, parts.options.replay_slice)
        self._timers = TimerHeap(parts.clock, self._fire)
        self._horizon = parts.clock.now()
        self._early: list[Mail] | None = []
        """Mail that came before what was stored is recovered: it is newer than that."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_recovered(self) -> bool:
        """Is everything here that was stored when the lease began?"""
        return self._early is None

    # ---- deliveries ------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take over what the store holds for this partition; raises LeaseLost."""
        until = self._parts.clock.now() + self._parts.options.timer_horizon
        found: Recovered = await self._parts.hub.recover(self.lease, until)
        if self._closed:
            return
        self._horizon = until
        early, self._early = self._early, None
        for mail in (*found.mail, *(early or ())):
            self.deliver(mail)
        self._timers.add(found.timers)
        self._parts.pool.dispatch(found.activities)

    async def extend_horizon(self) -> None:
        """Load the timers of the next minutes; called well before the last horizon is reached."""
        until = self._parts.clock.now() + self._parts.options.timer_horizon
        after = self._horizon
        if until <= after:
            return
        # Before the answer: turns that are committed meanwhile add their own.
        self._horizon = until
        try:
            timers = await self._parts.hub.timers(self.lease, after, until)
        except StorageUnavailable:
            self._horizon = after
            raise
        if not self._closed:
            self._timers.add(timers)

    def deliver(self, mail: Mail) -> None:
        """Put a message into its instance's inbox; stale mail and second deliveries are dropped."""
        if self._closed or mail.epoch != self.lease.epoch:
            return
        if self._early is not None:
            self._early.append(mail)
            return
        message = mail.message
        event = message.event
        slot = self._slots.get(message.instance_id)
        if slot is not None and message.id in slot.seen:
            return
        if slot is None:
            slot = self._slots[message.instance_id] = Slot(message.instance_id)
            if mail.token is not None and isinstance(event, ExecutionStarted):
                slot.state = pending_state(message.instance_id, event)
                slot.token = mail.token
        elif isinstance(event, ExecutionStarted) and (
            slot.state is None or slot.state.execution_id != event.execution_id
        ):
            # Either it replaced what we hold, or it is an old start that came again: the store
            # knows. Also a load that is under way may have read what was there before.
            self._parts.sessions.dropped(slot)
            slot.forget()
            slot.parked = False
            slot.failures = 0
        if isinstance(event, ExecutionTerminated):
            slot.parked = False  # it asks for little: no history, no code
        slot.seen.add(message.id)
        slot.inbox.append(Item(event, message.execution_id, message_id=message.id))
        self._enqueue(slot)

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
        if self._closed:
            return
        slot = self._slots.get(instance_id)
        if slot is None:
            slot = self._slots[instance_id] = Slot(instance_id)
        slot.inbox.append(item)
        self._enqueue(slot)

    # ---- the pump --------------------------------------------------------------------------

    def _enqueue(self, slot: Slot) -> None:
        if slot.queued or slot.busy or slot.parked:
            return
        slot.queued = True
        self._ready.append(slot)
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping and not self._closed:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Run turns for one slice of the loop, then hand them to the store together."""
        self._pumping = False
        if self._closed:
            return
        batch: list[Running] = []
        for _ in range(min(self._parts.options.turns_per_slice, len(self._ready))):
            slot = self._ready.popleft()
            slot.queued = False
            if slot.busy or not slot.inbox or self._slots.get(slot.instance_id) is not slot:
                continue
            try:
                running = self._begin(slot)
            except Exception as error:  # noqa: BLE001 - one edge: a bad instance harms no other
                running = self._quarantine(slot, error)
            if running is not None:
                batch.append(running)
        if batch:
            self._spawn(self._commit(batch))
        if self._ready:
            self._pump_soon()

    def _begin(self, slot: Slot) -> Running | None:
        """Start a turn; None when the instance must be loaded first or nothing is to be done."""
        state = slot.state
        terminating = any(isinstance(i.event, ExecutionTerminated) for i in slot.inbox)
        if state is None:
            self._load(slot, history=not terminating)
            return None
        items = self._valid(slot, state)
        if not items:
            return None
        time = turn_time(slot, items, self._parts.clock.now())
        if terminating:
            slot.inbox = []
            return self._started(
                slot, items, terminating_turn(self.lease, slot, state, items, time)
            )
        if slot.problem is not None:
            return self._quarantine(slot, slot.problem)
        poison = self._parts.poison
        if (problem := poison.turn_problem(slot.instance_id, state.execution_id)) is not None:
            return self._quarantine(slot, problem)
        if slot.session is None:
            orchestrator = self._parts.functions.orchestrator(state.name)
            if orchestrator is None:
                self._unregistered(slot, state)
                return None
            if state.status is not RuntimeStatus.PENDING:
                self._load(slot, history=True)
                return None
            slot.session = Session(
                orchestrator.function, slot.instance_id, input_type=orchestrator.input_type
            )
        reach("turn.before_code")
        loop = asyncio.get_running_loop()
        began = loop.time()
        poison.begin_turn(slot.instance_id, state.execution_id)
        try:
            turn = execution_turn(self.lease, slot, state, items, time)
        finally:
            poison.end_turn()
        slot.inbox = []
        took = loop.time() - began
        if took > _SLOW_TURN_S:
            log.warning(
                "Orchestrator '%s' (instance '%s') blocked the host for %.1f s. Move the work that "
                "waits or computes into an activity.",
                state.name,
                slot.instance_id,
                took,
            )
        reach("turn.after_code")
        if turn is None:
            self._discard(items)
            return None
        return self._started(slot, items, turn)

    def _started(self, slot: Slot, items: Sequence[Item], turn: Turn) -> Running:
        slot.busy = True
        return Running(slot, items, turn)

    def _valid(self, slot: Slot, state: InstanceState) -> list[Item]:
        """The inbox without what can never be delivered; that is deleted from the store."""
        if state.status.is_terminal:
            stray, slot.inbox = slot.inbox, []
            self._discard(stray)
            self._forget_slot(slot)
            return []
        current = state.execution_id
        stray = [i for i in slot.inbox if i.execution_id and i.execution_id != current]
        if stray:
            self._discard(stray)
            slot.inbox = [i for i in slot.inbox if not i.execution_id or i.execution_id == current]
        return slot.inbox

    def _quarantine(self, slot: Slot, error: Exception) -> Running | None:
        """Fail an instance that cannot be run, so that it takes nothing else down."""
        state = slot.state
        if state is None:
            log.error("Instance '%s' cannot be loaded: %s", slot.instance_id, error)
            slot.parked = True
            return None
        if not isinstance(error, FuncPyError):
            log.error(
                "Instance '%s' of '%s' broke the engine and is failed.",
                slot.instance_id,
                state.name,
                exc_info=error,
            )
        else:
            log.error("Instance '%s' of '%s': %s", slot.instance_id, state.name, error)
        if slot.session is not None:
            slot.session.close()
            slot.session = None
            self._parts.sessions.dropped(slot)
        items, slot.inbox = slot.inbox, []
        kind = type(error).__name__ if isinstance(error, FuncPyError) else "InternalError"
        failure = FailureDetails(type=kind, message=str(error) or kind)
        time = turn_time(slot, items, self._parts.clock.now())
        turn = failing_turn(
            self.lease, slot, state, items, time, failure, keep_events=not slot.failures
        )
        return self._started(slot, items, turn)

    def _unregistered(self, slot: Slot, state: InstanceState) -> None:
        slot.busy = True
        self._spawn(self._wait_or_fail(slot, state))

    async def _wait_or_fail(self, slot: Slot, state: InstanceState) -> None:
        generation = slot.generation
        error = self._parts.functions.missing("orchestrator", state.name)
        elsewhere = await self._parts.elsewhere("orchestrator", state.name)
        slot.busy = False
        if slot.generation != generation:
            self._enqueue(slot)
        elif elsewhere:
            # It stays with this partition; the host that gets it next may have the function.
            log.warning("Instance '%s' waits for another host: %s", slot.instance_id, error)
            slot.parked = True
        else:
            slot.problem = error
            self._enqueue(slot)

    # ---- loading ---------------------------------------------------------------------------

    def _load(self, slot: Slot, *, history: bool) -> None:
        slot.busy = True
        self._spawn(self._load_now(slot, history=history))

    async def _load_now(self, slot: Slot, *, history: bool) -> None:
        generation = slot.generation
        try:
            there = await self._loader.load(slot, history=history)
        except StorageUnavailable as error:
            slot.busy = False
            self._later([slot], error)
            return
        except Exception as error:  # noqa: BLE001 - one edge: a damaged record harms no other
            slot.busy = False
            slot.forget()
            self._quarantine(slot, error)
            return
        if self._closed or self._slots.get(slot.instance_id) is not slot:
            return
        slot.busy = False
        unanswered, slot.unanswered = slot.unanswered, None
        if slot.generation != generation:
            slot.forget()
            self._enqueue(slot)
        elif there and unanswered is not None and unanswered.token != slot.token:
            # The commit had happened: what it handed out is stored, and nowhere in memory.
            self._parts.lost(self, "a commit that was not answered had happened")
        elif not there:
            # Purged, replaced, or never there; what a replacement brings comes with its start mail.
            self._discard(slot.inbox)
            self._detach(slot)
        elif slot.inbox:
            self._enqueue(slot)
        else:
            self.evict(slot)

    # ---- committing ------------------------------------------------------------------------

    async def _commit(self, batch: Sequence[Running]) -> None:
        failures = self._parts.outage.failures
        try:
            outcomes = await self._parts.hub.commit([running.turn for running in batch])
        except StorageUnavailable as error:
            for running in batch:
                self._undo(running)
                running.slot.unanswered = running.turn
            self._later([running.slot for running in batch], error)
            return
        except BaseException:
            for running in batch:
                self._undo(running)
            raise
        self._parts.outage.ended("turns", failures)
        self._retries.answered()
        reach("turn.after_commit")
        why = ""
        for running, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Committed):
                self._settle(running, outcome)
                continue
            self._undo(running)
            if self._closed:
                continue
            match outcome.reason:
                case LostReason.FENCED | LostReason.MISSING:
                    why = f"{outcome.reason.name.lower()}: {outcome.detail}"
                case LostReason.STALE:
                    self._enqueue(running.slot)
                case LostReason.REJECTED:
                    self._refused(running.slot, outcome.detail)
        # At last, because it closes this partition: every turn of the batch has been accounted for.
        if why:
            self._parts.lost(self, why)

    def _settle(self, running: Running, outcome: Committed) -> None:
        """The turn is durable: let its effects happen."""
        slot, _, turn = running
        state = turn.state
        if turn.taken:
            self._parts.pool.release(turn.taken)
            self._parts.poison.activities_settled(turn.taken)
        if turn.ended_timers:
            self._timers.cancel(slot.instance_id, state.execution_id, turn.ended_timers)
        if self._closed or self._slots.get(slot.instance_id) is not slot:
            return
        slot.busy = False
        slot.failures = 0
        self._parts.poison.turn_settled(slot.instance_id, state.execution_id)
        slot.token = outcome.token
        slot.state = state
        slot.last_time = state.last_updated_at
        if turn.timers:
            self._timers.add(t for t in turn.timers if t.fire_at < self._horizon)
        if turn.drop_activities:
            self._parts.pool.drop(slot.instance_id, state.execution_id)
        if turn.activities:
            self._parts.pool.dispatch(turn.activities)
        if state.status.is_terminal:
            if slot.session is not None:
                slot.session.close()
                slot.session = None
            self._parts.sessions.dropped(slot)
            if state.status is not RuntimeStatus.TERMINATED:
                self._parts.finished(state)
            if not slot.inbox:
                self._forget_slot(slot)
                return
        else:
            self._parts.sessions.used(slot, self._parts.clock.now())
        if slot.inbox:
            self._enqueue(slot)

    def _undo(self, running: Running) -> None:
        """The turn did not happen: its session has moved on, so drop it; the items wait again."""
        slot, items, _ = running
        slot.busy = False
        self._parts.sessions.dropped(slot)
        slot.forget()
        if self._closed or self._slots.get(slot.instance_id) is not slot:
            self._parts.pool.release(i.task for i in items if i.task is not None)
        else:
            slot.inbox[:0] = items

    def _refused(self, slot: Slot, detail: str) -> None:
        """The store will not take this turn's values: fail the instance without them."""
        slot.failures += 1
        if slot.failures > 1:
            log.error(
                "Instance '%s' is parked: not even its failure can be stored (%s).",
                slot.instance_id,
                detail,
            )
            slot.parked = True
            return
        slot.busy = True
        self._spawn(self._fail_refused(slot, detail))

    async def _fail_refused(self, slot: Slot, detail: str) -> None:
        generation = slot.generation
        loaded = await self._parts.hub.load(slot.instance_id, history=False)
        slot.busy = False
        if loaded is None or self._closed:
            return
        if slot.generation != generation:
            self._enqueue(slot)
            return
        slot.state, slot.token = loaded.state, loaded.token
        slot.problem = FuncPyError(f"the task hub refused the result of a turn: {detail}")
        self._enqueue(slot)

    def _later(self, slots: Sequence[Slot], error: Exception) -> None:
        """The store is away: try these again after a pause."""
        if not self._closed:
            self._parts.outage.began("turns", error)
            self._retries.add(slots)

    def _discard(self, items: Sequence[Item]) -> None:
        messages = [item.message_id for item in items if item.message_id]
        activities: list[TaskKey] = [item.task for item in items if item.task is not None]
        self._parts.pool.release(activities)
        if messages or activities:
            self._spawn(self._discard_now(messages, activities))

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
        if slot.session is not None:
            slot.session.close()
            slot.session = None
        self._forget_slot(slot)
        return True

    def _forget_slot(self, slot: Slot) -> None:
        if self._slots.get(slot.instance_id) is slot:
            del self._slots[slot.instance_id]

    def _detach(self, slot: Slot) -> None:
        self._forget_slot(slot)
        self._parts.sessions.dropped(slot)
        slot.forget()
        # Results that no turn took: the calls run again when their rows are recovered.
        self._parts.pool.release(item.task for item in slot.inbox if item.task is not None)
        slot.inbox = []

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A step of partition %d failed.", self.lease.partition, exc_info=error)
            if not self._closed:
                self._parts.lost(self, str(error))

    def close(self) -> None:
        """Run nothing more. Commits under way go on, but have no effects here."""
        self._closed = True
        self._timers.close()
        self._retries.close()
        for slot in list(self._slots.values()):
            self._detach(slot)
        self._ready.clear()

    async def settle(self) -> None:
        """Run the turns that are ready and wait until they are stored."""
        while self._ready or self._tasks:
            self._pump()
            await self.wait_idle()

    async def wait_idle(self) -> None:
        """Wait for commits and loads that are under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

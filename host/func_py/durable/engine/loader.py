"""Brings an instance from the store back into its slot: record, token, live execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from func_py.clock import Clock
from func_py.durable.engine.entity_turns import new_entity
from func_py.durable.engine.functions import FunctionTable
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.slot import Item, Slot
from func_py.durable.model import (
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    new_id,
    pending_state,
    split_entity_id,
)
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import HistoryPage, Lease, Loaded, TaskHub
from func_py.errors import HistoryChanged

_LeftByCode = (
    OrchestratorCompleted | TaskScheduled | TimerCreated | SubOrchestrationCreated | EventSent
)


def closed_turns(events: Sequence[HistoryEvent]) -> int:
    """How many events belong to turns that have run; the rest opens one that has not.

    Of a history that goes on, the rest may also be the messages of a turn that did run.
    """
    for count in range(len(events), 0, -1):
        if isinstance(events[count - 1], _LeftByCode):
            return count
    return 0


class Loader:
    """Loads and replays, page by page: no more than a page is held beside the live execution.

    Long pages are fed in slices; the event loop runs in between.
    """

    def __init__(
        self,
        hub: TaskHub,
        functions: FunctionTable,
        poison: Poison,
        clock: Clock,
        step: int,
        places: asyncio.Semaphore,
    ) -> None:
        """`step`: stored events fed at once. `places`: bounds the replays of the host at a time."""
        self._hub = hub
        self._clock = clock
        self._functions = functions
        self._poison = poison
        self._step = step
        self._places = places

    async def fetch(self, slot: Slot, items: Sequence[Item], lease: Lease) -> bool:
        """Read the payloads that were withheld of these items of the slot's inbox.

        Returns:
            True when nothing has to be loaded any more: one of them starts a new execution, whose
            record it has brought.

        Raises:
            StorageUnavailable: They may lack their payloads still.
        """
        is_new = False
        for item in items:
            mail = await self._hub.read_mail(lease, item.message_id)
            if mail is None:
                # Purged, or replaced; what a replacement brings comes with its own mail.
                slot.inbox = [other for other in slot.inbox if other is not item]
                continue
            event = mail.message.event
            item.event, item.withheld = event, False
            if slot.state is None and mail.token is not None:
                assert isinstance(event, ExecutionStarted)
                slot.state, slot.token = pending_state(slot.instance_id, event), mail.token
                is_new = True
        return is_new

    async def load(self, slot: Slot, *, history: bool) -> bool:
        """Fill the slot from the store. False: the execution it stands for is not there any more.

        What cannot be replayed is left in `slot.problem`; the next turn fails the instance with it.

        Raises:
            StorageUnavailable: Nothing was changed.
        """
        known = slot.state.execution_id if slot.state is not None else ""
        if not history:
            return await self._load(slot, known, history=False)
        async with self._places:
            while True:
                try:
                    return await self._load(slot, known, history=True)
                except HistoryChanged:
                    continue

    async def _load(self, slot: Slot, known: str, *, history: bool) -> bool:
        loaded = await self._hub.load(slot.instance_id, history=history)
        if loaded is None and split_entity_id(slot.instance_id) is not None:
            # The first message to an entity makes it; its first turn stores it.
            slot.state, slot.token = new_entity(slot.instance_id, new_id(), self._clock.now()), None
            return True
        if loaded is None or (known and loaded.state.execution_id != known):
            return False
        slot.state, slot.token = loaded.state, loaded.token
        slot.last_time = max(slot.last_time, loaded.state.last_updated_at)
        if loaded.history:
            await self._replay(slot, loaded)
        return True

    async def _replay(self, slot: Slot, loaded: Loaded) -> None:
        state = loaded.state
        orchestrator = self._functions.orchestrator(state.name)
        if orchestrator is None or state.status.is_terminal:
            return
        slot.problem = self._poison.turn_problem(slot.instance_id, state.execution_id)
        if slot.problem is not None:
            return
        session = Session(
            orchestrator.function, slot.instance_id, input_type=orchestrator.input_type
        )
        page = HistoryPage(loaded.history, loaded.more)
        unsure: list[HistoryEvent] = []
        try:
            while True:
                _note(slot, page.events)
                unsure += page.events
                count = closed_turns(unsure)
                slot.problem = await self._feed(session, slot, state.execution_id, unsure[:count])
                del unsure[:count]
                if page.next is None or slot.problem is not None:
                    break
                page = await self._hub.read_history(slot.instance_id, page.next)
        except BaseException:
            session.close()
            raise
        if slot.problem is not None:
            session.close()
            return
        slot.opened = unsure
        if session.cost:
            slot.extra = session.take_decisions()
            slot.session = session

    async def _feed(
        self, session: Session, slot: Slot, execution_id: str, events: Sequence[HistoryEvent]
    ) -> Exception | None:
        """Let the code see stored events; why that cannot be, or None."""
        for start in range(0, len(events), self._step):
            self._poison.begin_turn(slot.instance_id, execution_id)
            try:
                session.feed(events[start : start + self._step], played=True)
            except Exception as error:  # noqa: BLE001 - poisonous history must not stop the partition
                return error
            finally:
                self._poison.end_turn()
            await asyncio.sleep(0)
        return None


def _note(slot: Slot, events: Sequence[HistoryEvent]) -> None:
    """Remember what stored events say of messages: these have been delivered."""
    if not events:
        return
    slot.last_time = max(slot.last_time, events[-1].timestamp)
    delivered = {event.message_id for event in events if event.message_id}
    slot.seen |= delivered
    slot.inbox = [item for item in slot.inbox if item.message_id not in delivered]

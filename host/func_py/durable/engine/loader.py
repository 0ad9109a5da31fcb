"""Brings an instance from the store back into its slot: record, token, live execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from func_py.clock import Clock
from func_py.durable.engine.entity_turns import new_entity
from func_py.durable.engine.functions import FunctionTable
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.slot import Slot
from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    OrchestratorCompleted,
    new_id,
    split_entity_id,
)
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import TaskHub


def closed_turns(events: Sequence[HistoryEvent]) -> int:
    """How many events belong to turns that have run; the rest opens one that has not."""
    for count in range(len(events), 0, -1):
        if isinstance(events[count - 1], OrchestratorCompleted):
            return count
    return 0


class Loader:
    """Loads and replays; long histories are fed in slices, the event loop runs in between."""

    def __init__(
        self, hub: TaskHub, functions: FunctionTable, poison: Poison, clock: Clock, step: int
    ) -> None:
        """`step`: stored events fed at once."""
        self._hub = hub
        self._clock = clock
        self._functions = functions
        self._poison = poison
        self._step = step

    async def load(self, slot: Slot, *, history: bool) -> bool:
        """Fill the slot from the store. False: the execution it stands for is not there any more.

        What cannot be replayed is left in `slot.problem`; the next turn fails the instance with it.

        Raises:
            StorageUnavailable: Nothing was changed.
        """
        known = slot.state.execution_id if slot.state is not None else ""
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
            slot.last_time = max(slot.last_time, loaded.history[-1].timestamp)
            delivered = {event.message_id for event in loaded.history if event.message_id}
            slot.seen |= delivered
            slot.inbox = [item for item in slot.inbox if item.message_id not in delivered]
            events = list(loaded.history)
            closed = closed_turns(events)
            slot.opened = events[closed:]
            if closed:
                await self._replay(slot, loaded.state, events[:closed])
        return True

    async def _replay(self, slot: Slot, state: InstanceState, events: list[HistoryEvent]) -> None:
        orchestrator = self._functions.orchestrator(state.name)
        if orchestrator is None or state.status.is_terminal:
            return
        problem = self._poison.turn_problem(slot.instance_id, state.execution_id)
        if problem is not None:
            slot.problem = problem
            return
        session = Session(
            orchestrator.function, slot.instance_id, input_type=orchestrator.input_type
        )
        try:
            for start in range(0, len(events), self._step):
                self._poison.begin_turn(slot.instance_id, state.execution_id)
                try:
                    session.feed(events[start : start + self._step], played=True)
                finally:
                    self._poison.end_turn()
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - poisonous history must not stop the partition
            session.close()
            slot.problem = error
            return
        slot.extra = session.take_decisions()
        slot.session = session

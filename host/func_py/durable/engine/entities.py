"""Begins turns of entities: a batch of operations each, run outside the event loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

import msgspec

from func_py.durable.engine.entity_order import Choice, Requested, choose, deletion_in
from func_py.durable.engine.entity_turns import DELETED, batch_of, entity_turn, unchanged
from func_py.durable.engine.owner import Owner
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.slot import Running, Slot
from func_py.durable.model import (
    EntityResult,
    EntityState,
    FailureDetails,
    InstanceState,
    OperationResult,
)
from func_py.durable.storage.base import TaskKey
from func_py.errors import FuncPyError, FunctionNotRegistered

log = logging.getLogger("func_py.durable.entities")

_REFUSALS = 2
"""A turn refused by the store is repeated with one operation; after so many that one has failed."""


class LiveBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Operations of an entity that run together."""

    operations: Sequence[str]
    since: datetime
    """When they were to run; they may have waited for other entities."""
    place: str = ""
    """Where their code stands, `file:line in function: source`, where that is known."""


class Entities:
    """The processor of entity instances.

    While a batch runs, its slot is busy and the items it takes are out of the inbox. They go back
    to its front when there is no turn in the end.
    """

    def __init__(self, owner: Owner, parts: Parts) -> None:
        self._owner = owner
        self._parts = parts
        self.batches: dict[str, LiveBatch] = {}
        """What is in hand, by instance id."""

    def begin(self, slot: Slot) -> Running | None:
        """Start a batch, whose turn is submitted when the operations have run.

        The answer is a turn only when there is nothing to run: the entity is to be deleted, or a
        lock is granted or released.
        """
        state = slot.state
        if state is None:
            self._owner.load(slot, history=False)
            return None
        entity = state.entity or EntityState()
        is_plain = entity.locked_by is None and not entity.queue
        items = slot.whole_items()
        if not items or (len(items) < len(slot.inbox) and not is_plain):
            # Who may pass by the holder of a lock, or is it, is said in the payload.
            withheld = [item for item in slot.inbox if item.withheld]
            self._owner.fetch(slot, withheld[:1] if is_plain else withheld)
            return None
        limit = 1 if self._is_careful(slot) else self._parts.options.max_entity_batch
        items = items[:limit] if is_plain else items
        count = deletion_in(items)
        if count == 0 or (count < len(items) and not is_plain):
            # A purge asks for no lock: it is what helps when a holder never releases its own.
            item = slot.inbox.pop(count)
            return self._turn(slot, state, Choice(words=[item]), DELETED)
        items = items[:count]
        choice, strays = choose(entity, items, frozenset(entity.recent), limit)
        left = {item.message_id for item in (*choice.items, *strays)}
        is_all = len(items) == len(slot.inbox)
        slot.inbox = [item for item in slot.inbox if item.message_id not in left]
        # Only what may still be repeated, or a busy entity would fill the memory.
        slot.seen = left.union((item.message_id for item in slot.inbox), entity.recent)
        if strays:
            self._owner.discard(strays)
        if choice.operations:
            slot.busy = True
            self._owner.operate(self._run(slot, state, choice))
        elif not choice.is_empty:
            return self._turn(slot, state, choice, unchanged(state, ()))
        elif not slot.inbox:
            self._owner.forget(slot)
        elif not is_all:
            self._owner.enqueue(slot)
        # Else all that is there waits for the holder of the lock.
        return None

    def quarantine(self, slot: Slot, error: Exception) -> None:
        """Leave an entity alone that cannot be run; its requests stay stored."""
        log.error("Entity '%s' cannot be run.", slot.instance_id, exc_info=error)
        slot.parked = True

    def refused(self, slot: Slot, detail: str) -> None:
        """The store will not take a turn's values: find the operation that made them, fail it."""
        log.error("A turn of entity '%s' cannot be stored: %s", slot.instance_id, detail)
        slot.failures += 1
        if slot.failures > _REFUSALS:
            slot.parked = True
        else:
            self._owner.enqueue(slot)

    def _is_careful(self, slot: Slot) -> bool:
        """One operation at a time, because one of them may be to blame for something."""
        return slot.failures > 0 or self._parts.poison.is_suspect(_entity_key(slot))

    async def _run(self, slot: Slot, state: InstanceState, choice: Choice) -> None:
        generation = slot.generation
        self.batches[slot.instance_id] = LiveBatch(
            operations=[each.request.operation or "" for each in choice.operations],
            since=self._parts.clock.now(),
        )
        try:
            result = await self._result(slot, state, choice.operations)
        finally:
            del self.batches[slot.instance_id]
        if slot.generation != generation:
            return
        if result is None:
            slot.inbox[:0] = choice.items
            slot.busy = False
            return
        served = choice.first(len(result.results))
        taken = {item.message_id for item in served.items}
        slot.inbox[:0] = [item for item in choice.items if item.message_id not in taken]
        self._owner.submit(self._turn(slot, state, served, result))

    def _turn(
        self, slot: Slot, state: InstanceState, choice: Choice, result: EntityResult
    ) -> Running:
        turn = entity_turn(
            self._owner.lease,
            slot.token,
            state,
            choice,
            result,
            self._parts.clock.now(),
            remembers=not self._parts.delivers_once,
        )
        return slot.run(choice.items, turn)

    async def _result(
        self, slot: Slot, state: InstanceState, requests: Sequence[Requested]
    ) -> EntityResult | None:
        """What became of the operations, or of the first of them; None when they are to wait."""
        poison = self._parts.poison
        entity, operation = _entity_key(slot), _operation_key(slot, requests[0])
        if (problem := self._problem(slot, requests[0])) is not None:
            log.error("Entity '%s': %s", slot.instance_id, problem)
            poison.activities_settled([entity, operation])
            return _failed(state, requests[:1], problem)
        batch = batch_of(state, requests)
        try:
            if not poison.is_suspect(entity):
                return await self._parts.entities.run(batch, [entity])
            async with poison.singly:
                return await self._parts.entities.run(batch, [entity, operation])
        except FunctionNotRegistered as error:
            if await self._parts.elsewhere("entity", state.name):
                # It stays with this partition; the host that gets it next may have the function.
                log.warning("Entity '%s' waits for another host: %s", slot.instance_id, error)
                slot.parked = slot.lacks_function = True
                return None
            log.error("%d operation(s) of '%s' fail: %s", len(requests), slot.instance_id, error)
            return _failed(state, requests, error)
        except Exception as error:
            log.exception("Operations of entity '%s' could not be run.", slot.instance_id)
            return _failed(state, requests, error)

    def _problem(self, slot: Slot, first: Requested) -> Exception | None:
        """Why the operation must not run: it kills processes, or its effect cannot be stored."""
        if slot.failures >= _REFUSALS:
            return FuncPyError("the task hub refused to store what this operation did")
        return self._parts.poison.operation_problem(
            _entity_key(slot), _operation_key(slot, first), first.request.operation or ""
        )


def _failed(state: InstanceState, requests: Sequence[Requested], error: Exception) -> EntityResult:
    failure = FailureDetails(type=type(error).__name__, message=str(error))
    return unchanged(state, [OperationResult(failure=failure)] * len(requests))


def _entity_key(slot: Slot) -> TaskKey:
    return TaskKey(slot.instance_id, "entity", 0)


def _operation_key(slot: Slot, requested: Requested) -> TaskKey:
    return TaskKey(slot.instance_id, requested.id, 0)

"""New instances: those that clients start, children that turns start, and starts of others."""

from __future__ import annotations

import logging
from collections.abc import Collection

from func_py.durable.faults import reach
from func_py.durable.model import (
    ExecutionStarted,
    InstanceState,
    Message,
    RuntimeStatus,
    pending_state,
)
from func_py.durable.storage.azure.control import Control, Letter
from func_py.durable.storage.azure.instances import Row, etag_of
from func_py.durable.storage.azure.members import status_of
from func_py.durable.storage.azure.messages import Delivery
from func_py.durable.storage.azure.parts import Parts
from func_py.durable.storage.azure.store import InstanceToken, shown_by
from func_py.errors import InstanceAlreadyExists

log = logging.getLogger("func_py.durable.storage")

_MOST_TRIES = 10


class Starts:
    """Begins instances. The row comes first: it decides who of several wins."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def create(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """See `TaskHub.create_instance`."""
        parts = self._parts
        sequence = parts.numbers.next()
        # Whatever cannot be stored must be found out before anything is.
        await parts.encode(start, sequence, 0)
        etag = await parts.instances.insert(state, 0, start.id)
        generation = 0
        while etag is None:
            row = await parts.instances.read(state.instance_id)
            if row is None:
                etag = await parts.instances.insert(state, 0, start.id)
                continue
            generation = int(row.get("Generation") or 0)
            status = status_of(row.get("RuntimeStatus"))
            if row.get("ExecutionId") == state.execution_id:
                if status is not RuntimeStatus.PENDING:
                    return  # this very start has happened, and has run
                etag = etag_of(row)
            elif status not in reusable:
                raise InstanceAlreadyExists(state.instance_id, status.value)
            else:
                generation += 1
                etag = await parts.instances.replace(state, etag_of(row), generation, start.id)
                if etag is not None:
                    await self._clear(state.instance_id)
        reach("azure.row_without_start")
        text = await parts.encode(start, sequence, generation)
        control = parts.control_of(state.instance_id)
        if control is None:
            await parts.post(start, text)
            return
        held = await control.queue.put(text, parts.hidden_s)
        token = InstanceToken(state.execution_id, etag, shown_by(state), None)
        delivery = Delivery(message=start, sequence=sequence, generation=generation)
        letter = Letter(delivery, held, token=token)
        if await parts.hold(control, letter):
            parts.deliver(control, [letter])

    async def begin_child(self, start: Message) -> InstanceToken | None:
        """Store the record of a child that a turn starts, unless there is a live instance.

        Its token; None when the record was there.
        """
        event = start.event
        assert isinstance(event, ExecutionStarted)
        state = pending_state(start.instance_id, event)
        etag = await self._parts.instances.insert(state, None, start.id)
        if etag is None:
            row = await self._parts.instances.read(start.instance_id)
            if row is None or not _is_finished_other(row, start.execution_id):
                return None
            etag = await self._parts.instances.replace(state, etag_of(row), None, start.id)
            if etag is None:
                return None
            await self._clear(start.instance_id)
        return InstanceToken(state.execution_id, etag, shown_by(state), None)

    async def _clear(self, instance_id: str) -> None:
        """Delete what a replaced execution had; the first that goes is the fence of its turns."""
        await self._parts.history.purge(instance_id)
        self._parts.forget_instance(instance_id)

    async def examine(self, control: Control, letter: Letter) -> bool:
        """Is this start, taken from the queue, to be run? It gets its token.

        A start whose row is another's is deleted when it is provably too late, and else shown again
        after a while: .NET's clients store the start before the row.
        """
        start = letter.message
        event = start.event
        assert isinstance(event, ExecutionStarted)
        row = await self._parts.instances.read(start.instance_id)
        if letter.delivery.is_child or not letter.delivery.is_foreign:
            if row is None or _is_finished_other(row, start.execution_id):
                letter.token = await self.begin_child(start)
            elif row.get("ExecutionId") == start.execution_id:
                letter.token = await self._token(row)
            return True
        if row is not None:
            execution_id = row.get("ExecutionId") or start.execution_id
            if execution_id.casefold() == start.execution_id.casefold():
                letter.token = await self._token(row)
                return True
            if _is_late(row, letter, event):
                self._parts.delete_later(control.queue, letter.held)
                return False
        if letter.times >= _MOST_TRIES:
            log.warning("A start of instance '%s' has no record; dropped.", start.instance_id)
            self._parts.delete_later(control.queue, letter.held)
        else:
            await control.queue.hide(letter.held[0], 2**letter.times)
        return False

    async def _token(self, row: Row) -> InstanceToken | None:
        """That of an instance that has had no turn, by its row."""
        if status_of(row.get("RuntimeStatus")) is not RuntimeStatus.PENDING:
            return None
        state = await self._parts.instances.state(row)
        return InstanceToken(state.execution_id, etag_of(row), shown_by(state), None)


def _is_finished_other(row: Row, execution_id: str) -> bool:
    status = status_of(row.get("RuntimeStatus"))
    return status.is_terminal and row.get("ExecutionId") != execution_id


def _is_late(row: Row, letter: Letter, event: ExecutionStarted) -> bool:
    """Was another start stored for the same generation, before this one?"""
    return (
        int(row.get("Generation") or 0) == (letter.delivery.generation or 0)
        and status_of(row.get("RuntimeStatus")) is RuntimeStatus.PENDING
        and row["CreatedTime"] < event.timestamp
    )

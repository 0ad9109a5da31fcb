"""An instance as stored: its row, and its history, which is the truth when the two disagree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from func_py.durable.model import (
    EntityState,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    FailureDetails,
    HistoryEvent,
    InstanceState,
    OrchestratorCompleted,
    OrchestratorStarted,
    RuntimeStatus,
    pending_state,
    split_entity_id,
)
from func_py.durable.storage.azure.history import Checkpoint, History, HistoryConflict
from func_py.durable.storage.azure.instances import Instances, Row, etag_of
from func_py.durable.storage.azure.members import LONG_TIMERS
from func_py.durable.storage.azure.scheduler_state import decode_entity, encode_entity
from func_py.durable.storage.base import HistoryPage, Loaded
from func_py.errors import HistoryChanged

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class InstanceToken(msgspec.Struct, frozen=True):
    """Fence of an instance: the state of its row and of its sentinel."""

    execution_id: str
    row: str
    """ETag; empty when there is no row."""
    shown: int
    """Hash of what the row shows; a turn that changes nothing of it does not write the row."""
    checkpoint: Checkpoint | None


def shown_by(state: InstanceState) -> int:
    """Hash of what a row shows of an instance, but for the time of its last turn."""
    return hash(
        (
            *(state.execution_id, state.name, state.version, state.status, state.input),
            *(state.output, state.custom_status, state.completed_at, state.failure, state.parent),
            state.entity,
        )
    )


class Place(msgspec.Struct, frozen=True):
    """Where a page of a history ended. `etag`: of the sentinel, when a load began it."""

    execution_id: str
    first: int
    etag: str = ""


class InstanceStore:
    """Reads instances of one hub."""

    def __init__(self, instances: Instances, history: History) -> None:
        self.instances = instances
        self.history = history

    async def load(self, instance_id: str, *, history: bool) -> Loaded | None:
        """See `TaskHub.load`. The row of an instance that ended is put right on the way."""
        row = await self.instances.read(instance_id)
        state = None if row is None else await self.instances.state(row)
        found = await self.history.checkpoint(instance_id)
        if found is not None and found.redo:
            found = await self._finished(instance_id, found)
        if split_entity_id(instance_id) is not None:
            return await self._load_entity(instance_id, row, state, found)
        if found is None or (state is not None and not _is_of(state, found)):
            # Started, and no turn yet.
            return None if state is None else Loaded(state, self._token(row, state, found), [])
        events: Sequence[HistoryEvent] = []
        more: int | None = None
        if not found.commit:
            events, found = await self.history.whole(instance_id, found)
        elif history or state is None or not _agree(state, found):
            events, more = await self.history.page(instance_id, found)
        if state is not None and _agree(state, found) and found.commit:
            token = self._token(row, state, found)
        else:
            last = events
            if more is not None:
                last, _ = await self.history.page(instance_id, found, max(0, found.rows - 3))
            state = _true_state(instance_id, state, events, last, found)
            etag = await self._put_right(row, state)
            token = InstanceToken(state.execution_id, etag, shown_by(state), found)
        if not history:
            return Loaded(state, token, [])
        place = None if more is None else Place(found.execution_id, more, found.etag)
        return Loaded(state, token, events, place)

    async def _load_entity(
        self,
        instance_id: str,
        row: Row | None,
        state: InstanceState | None,
        found: Checkpoint | None,
    ) -> Loaded | None:
        events: Sequence[HistoryEvent] = ()
        if found is not None and found.commit:
            events, _ = await self.history.page(instance_id, found)
        elif found is not None:
            events, found = await self.history.whole(instance_id, found)
        started = next((e for e in events if isinstance(e, ExecutionStarted)), None)
        if state is None and started is None:
            return None
        token = self._token(row, state, found)
        if state is None and started is not None:
            state = _entity_record(instance_id, started)
        assert state is not None
        if started is not None and (state.entity is not None or started.name == instance_id):
            entity = decode_entity(started.input)
            status = RuntimeStatus.COMPLETED if entity.is_empty else RuntimeStatus.RUNNING
            state = msgspec.structs.replace(state, entity=entity, status=status)
        return Loaded(state, token)

    async def read(self, instance_id: str, after: Place | None) -> HistoryPage:
        """See `TaskHub.read_history`."""
        found = await self.history.checkpoint(instance_id)
        if after is None:
            row = await self.instances.read(instance_id)
            if row is None or found is None or split_entity_id(instance_id) is not None:
                return HistoryPage([])
            if not _is_of(await self.instances.state(row), found):
                return HistoryPage([])
            after = Place(found.execution_id, 0)
        if found is None or found.execution_id != after.execution_id:
            raise HistoryChanged(instance_id)
        if after.etag not in ("", found.etag):
            raise HistoryChanged(instance_id)
        if not found.commit or found.redo:
            if found.redo:
                events = await self.history.begun_events(found)
            else:
                events, _ = await self.history.whole(instance_id, found)
            return HistoryPage(events[after.first :])
        try:
            events, more = await self.history.page(instance_id, found, after.first)
        except HistoryConflict as error:
            raise HistoryChanged(instance_id) from error
        place = None if more is None else Place(after.execution_id, more, after.etag)
        return HistoryPage(events, place)

    async def _finished(self, instance_id: str, found: Checkpoint) -> Checkpoint | None:
        try:
            return await self.history.finish(instance_id, found)
        except HistoryConflict:
            return await self.history.checkpoint(instance_id)

    async def _put_right(self, row: Row | None, state: InstanceState) -> str:
        """Write what the history says into the row; its ETag, empty when somebody was faster."""
        if row is None:
            return await self.instances.insert(state, None, "") or ""
        return await self.instances.merge(state, etag_of(row)) or ""

    def _token(
        self, row: Row | None, state: InstanceState | None, checkpoint: Checkpoint | None
    ) -> InstanceToken:
        if row is None or state is None:
            found = checkpoint.execution_id if checkpoint is not None else ""
            return InstanceToken(found, "", 0, checkpoint)
        return InstanceToken(state.execution_id, etag_of(row), shown_by(state), checkpoint)


def _is_of(state: InstanceState, found: Checkpoint) -> bool:
    """Is this the history of the execution in the row, or of one after it?

    Else the row is newer: the instance was started anew, and has had no turn yet.
    """
    if found.execution_id == state.execution_id:
        return True
    if found.before:
        return found.before == state.execution_id
    return state.status is not RuntimeStatus.PENDING


def _agree(state: InstanceState, found: Checkpoint) -> bool:
    return (found.execution_id, found.status) == (state.execution_id, state.status.value)


def _true_state(
    instance_id: str,
    state: InstanceState | None,
    first: Sequence[HistoryEvent],
    last: Sequence[HistoryEvent],
    found: Checkpoint,
) -> InstanceState:
    """The record, with what the history knows better: by its first and its last events."""
    started = next((e for e in first if isinstance(e, ExecutionStarted)), None)
    if state is None:
        if started is None:
            time = last[-1].timestamp if last else _NEVER
            started = ExecutionStarted(timestamp=time, name="", execution_id=found.execution_id)
        state = pending_state(instance_id, started)
    elif started is not None and found.execution_id != state.execution_id:
        state = msgspec.structs.replace(state, execution_id=found.execution_id, input=started.input)
    status = _status(last, found)
    if status is state.status:
        return state
    result: str | None = None
    completed: datetime | None = None
    failure: FailureDetails | None = None
    for event in reversed(last):
        if isinstance(event, ExecutionCompleted):
            result, completed, failure = event.result, event.timestamp, event.failure
            break
    time = last[-1].timestamp if last else state.last_updated_at
    return msgspec.structs.replace(
        state,
        status=status,
        output=result,
        completed_at=completed,
        failure=failure,
        last_updated_at=max(state.last_updated_at, time),
    )


def _status(events: Sequence[HistoryEvent], checkpoint: Checkpoint) -> RuntimeStatus:
    if checkpoint.commit:
        return RuntimeStatus(checkpoint.status)
    for event in reversed(events):
        if isinstance(event, ExecutionCompleted):
            return event.status
        if isinstance(event, ExecutionSuspended):
            return RuntimeStatus.SUSPENDED
        if isinstance(event, ExecutionResumed):
            return RuntimeStatus.RUNNING
    return RuntimeStatus.RUNNING


# ---- entities ------------------------------------------------------------------------------


def entity_events(state: InstanceState, entity: EntityState) -> Sequence[HistoryEvent]:
    """The history of an entity after a turn: always that of a new beginning with its state."""
    time = state.last_updated_at
    text, _ = encode_entity(entity, time)
    return [
        OrchestratorStarted(timestamp=time),
        ExecutionStarted(
            timestamp=time,
            name=state.instance_id,
            execution_id=state.execution_id,
            input=text,
            long_timers=LONG_TIMERS,
        ),
        OrchestratorCompleted(timestamp=time),
    ]


def _entity_record(instance_id: str, started: ExecutionStarted) -> InstanceState:
    name, _ = split_entity_id(instance_id) or ("", "")
    state = pending_state(instance_id, started)
    return msgspec.structs.replace(state, name=name, input=None, entity=EntityState())

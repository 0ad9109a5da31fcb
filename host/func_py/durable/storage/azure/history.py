"""The table of histories: rows of events, and a sentinel for each instance that fences it.

Turns are appended in batches; each carries the sentinel, on the condition of its ETag. What of the
rows counts is said by the sentinel of the last batch: a turn of which only some batches were
written did not happen, and its rows are overwritten by the next one. .NET's sentinels say nothing
of that kind; then every row counts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from func_py.durable.faults import reach
from func_py.durable.model import HistoryEvent, RuntimeStatus
from func_py.durable.storage.azure.blobs import MAX_COLUMN_UNITS, LargePayloads, is_long
from func_py.durable.storage.azure.history_rows import (
    LONG_COLUMNS,
    MAX_BYTES,
    MAX_ROWS,
    SENTINEL,
    Row,
    estimated_bytes,
    event_from,
    row_key,
    row_of,
)
from func_py.durable.storage.azure.instances import etag_of, plain_time
from func_py.durable.storage.azure.members import scheduled_id, time_text
from func_py.durable.storage.azure.names import escape_key, unescape_key
from func_py.durable.storage.base import PAGE_BYTES

_MAX_DELETES = 100


class HistoryConflict(Exception):
    """The sentinel is not the one that was expected; nothing of the turn counts."""


class _Mark(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What our sentinel says beyond the official columns, while it is newer than .NET's."""

    at: str = ""
    """`CheckpointCompletedTimestamp` of the batch that brought it; empty: of an unfinished turn."""
    rows: int
    next_id: int
    status: str
    before: str
    """Execution id of the instance before this turn."""
    spare: int = 0
    """How many rows a turn that did not come to its end may have left behind those."""
    redo: str = ""
    """Blob with the turn that has begun to replace the history."""
    commit: str
    """Names the batch, so that who wrote it without getting the answer knows it again."""


class _Redo(msgspec.Struct):
    """A turn that replaces a history, as it is kept until its last batch is written."""

    execution_id: str
    status: str
    before: str
    events: list[HistoryEvent]


_redo_decoder = msgspec.json.Decoder(_Redo)
_mark_decoder = msgspec.json.Decoder(_Mark)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far the stored history of an instance goes."""

    execution_id: str
    etag: str
    rows: int = 0
    """Rows that count."""
    next_id: int = 0
    """Number of the next action of the code."""
    spare: int = 0
    """Rows of the same execution behind those, which may be there and do not count."""
    status: str = ""
    """Of the instance after the last turn; empty when .NET ran it."""
    before: str = ""
    """Execution id before the last turn; empty when .NET ran it."""
    redo: str = ""
    """Set while a turn that replaces the history is begun and not finished."""
    commit: str = ""
    """Of the last batch; empty when .NET wrote it."""


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn adds."""

    instance_id: str
    execution_id: str
    events: Sequence[HistoryEvent]
    expected: Checkpoint | None
    """The stored one, None when there is none."""
    replaces: bool
    """The events are the whole history."""
    status: str
    before: str


class History:
    """The histories of one hub."""

    def __init__(self, table: TableClient, payloads: LargePayloads) -> None:
        self._table = table
        self._payloads = payloads

    async def checkpoint(self, instance_id: str) -> Checkpoint | None:
        """By the sentinel alone; None when there is none. `rows` of one of .NET's is not known."""
        try:
            return _checkpoint(await self._table.get_entity(escape_key(instance_id), SENTINEL))
        except ResourceNotFoundError:
            return None

    async def page(
        self, instance_id: str, found: Checkpoint, first: int = 0
    ) -> tuple[Sequence[HistoryEvent], int | None]:
        """Events from a position on, and where to go on; None for the end.

        Of a checkpoint of ours: what came after it is left out. Raises HistoryConflict when rows of
        it are not there any more.
        """
        rows: list[Row] = []
        size = 0
        if first < found.rows:
            parameters = {
                "id": escape_key(instance_id),
                "execution": found.execution_id,
                "first": row_key(first),
                "end": row_key(found.rows),
            }
            async for row in self._table.query_entities(
                "PartitionKey eq @id and RowKey ge @first and RowKey lt @end"
                " and ExecutionId eq @execution",
                parameters=parameters,
            ):
                rows.append(row)
                size += estimated_bytes(row) // 2
                if any(f"{column}BlobName" in row for column in LONG_COLUMNS):
                    size += 2 * MAX_COLUMN_UNITS
                if size >= PAGE_BYTES:
                    break
            behind = first + len(rows)
            if not rows or rows[-1]["RowKey"] != row_key(behind - 1):
                raise HistoryConflict("rows are missing")
            events = await asyncio.gather(*(self._event(row) for row in rows))
            return events, behind if behind < found.rows else None
        return [], None

    async def whole(
        self, instance_id: str, found: Checkpoint
    ) -> tuple[Sequence[HistoryEvent], Checkpoint]:
        """All events that .NET wrote, whose checkpoint does not say how many there are."""
        parameters = {"id": escape_key(instance_id), "execution": found.execution_id}
        rows = [
            row
            async for row in self._table.query_entities(
                "PartitionKey eq @id and RowKey lt 'sentinel' and ExecutionId eq @execution",
                parameters=parameters,
            )
        ]
        own = 0
        while own < len(rows) and rows[own]["RowKey"] == row_key(own):
            own += 1
        events = await asyncio.gather(*(self._event(row) for row in rows[:own]))
        next_id = max((scheduled_id(e) or 0 for e in events), default=-1) + 1
        return events, msgspec.structs.replace(found, rows=own, next_id=next_id)

    async def _event(self, row: Row) -> HistoryEvent:
        names = [c for c in LONG_COLUMNS if row.get(f"{c}BlobName")]
        if names:
            texts = await asyncio.gather(*(self._payloads.get(row[f"{c}BlobName"]) for c in names))
            row = {**row, **dict(zip(names, texts, strict=True))}
        return event_from(row)

    # ---- writing ---------------------------------------------------------------------------

    async def append(self, turn: Append) -> Checkpoint:
        """Store a turn; the new checkpoint.

        Raises:
            HistoryConflict: Somebody else wrote.
        """
        same = turn.expected is not None and turn.expected.execution_id == turn.execution_id
        old = turn.expected if same else None
        first = old.rows if old is not None and not turn.replaces else 0
        next_id = old.next_id if old is not None and not turn.replaces else 0
        rows, next_id = self._rows(turn, first, next_id)
        name = secrets.token_hex(4).upper()
        await self._move_long(rows, name)
        etag = turn.expected.etag if turn.expected is not None else ""
        end = first + len(rows)
        batches = _batches(rows)
        begun = await self._begun(turn, name, old) if len(batches) > 1 else None
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            now = datetime.now(UTC)
            mark = _Mark(
                at=time_text(now),
                rows=end,
                next_id=next_id,
                status=turn.status,
                before=turn.before,
                commit=f"{name}{number}",
            )
            if not last:
                assert begun is not None
                mark = msgspec.structs.replace(begun, commit=mark.commit, spare=len(rows))
            sentinel: dict[str, Any] = {
                "PartitionKey": escape_key(turn.instance_id),
                "RowKey": SENTINEL,
                "ExecutionId": turn.execution_id,
                "IsCheckpointComplete": last,
                "FuncPy": msgspec.json.encode(mark).decode(),
            }
            if last:
                sentinel["CheckpointCompletedTimestamp"] = now
            etag = await self._write(batch, sentinel, etag, mark.commit)
            if not last:
                reach("azure.between_batches")
        spare = max(0, old.rows + old.spare - end) if old is not None else 0
        if spare:
            await self._delete([row_key(end + n) for n in range(spare)], turn.instance_id)
        return Checkpoint(
            execution_id=turn.execution_id,
            etag=etag,
            rows=end,
            next_id=next_id,
            status=turn.status,
            before=turn.before,
            commit=f"{name}{len(batches) - 1}",
        )

    async def _begun(self, turn: Append, name: str, old: Checkpoint | None) -> _Mark:
        """What the sentinel says between two batches: that the turn has not happened.

        One that replaces the history writes over what was there. It has happened from the first
        batch on, and whoever finds it begun brings it to its end, by the blob that is stored here.
        """
        if not turn.replaces:
            status = RuntimeStatus.PENDING.value
            if old is None:
                return _Mark(rows=0, next_id=0, status=status, before=turn.before, commit="")
            return _Mark(
                rows=old.rows,
                next_id=old.next_id,
                status=old.status or status,
                before=old.before,
                commit="",
            )
        redo = f"{escape_key(turn.instance_id)}/history-{name}-turn.json.gz"
        kept = _Redo(turn.execution_id, turn.status, turn.before, list(turn.events))
        await self._payloads.put(redo, msgspec.json.encode(kept).decode())
        return _Mark(
            rows=0, next_id=0, status=turn.status, before=turn.before, commit="", redo=redo
        )

    async def begun_events(self, found: Checkpoint) -> Sequence[HistoryEvent]:
        """The history that a turn of which only some batches are written is about to leave."""
        return _redo_decoder.decode(await self._payloads.get(found.redo)).events

    async def finish(self, instance_id: str, found: Checkpoint) -> Checkpoint:
        """Bring a turn to its end that whoever wrote it did not; raises HistoryConflict."""
        kept = _redo_decoder.decode(await self._payloads.get(found.redo))
        return await self.append(
            Append(
                instance_id=instance_id,
                execution_id=kept.execution_id,
                events=kept.events,
                expected=found,
                replaces=True,
                status=kept.status,
                before=kept.before,
            )
        )

    def _rows(self, turn: Append, first: int, next_id: int) -> tuple[list[dict[str, Any]], int]:
        rows = []
        key = escape_key(turn.instance_id)
        for position, event in enumerate(turn.events, first):
            rows.append(
                row_of(
                    event,
                    key=key,
                    instance_id=turn.instance_id,
                    execution_id=turn.execution_id,
                    position=position,
                    next_id=next_id,
                )
            )
            action = scheduled_id(event)
            if action is not None:
                next_id = max(next_id, action + 1)
        return rows, next_id

    async def _move_long(self, rows: Sequence[dict[str, Any]], name: str) -> None:
        """Put long values where they belong."""
        for row in rows:
            for column in LONG_COLUMNS:
                text = row.get(column)
                if text is not None and is_long(text):
                    where = f"{row['PartitionKey']}/history-{row['RowKey']}"
                    blob = f"{where}-{row['EventType']}-{name}-{column}.json.gz"
                    await self._payloads.put(blob, text)
                    row[column], row[f"{column}BlobName"] = "", blob

    async def _write(
        self, rows: Sequence[Row], sentinel: dict[str, Any], etag: str, commit: str
    ) -> str:
        """One batch, fenced; the sentinel's new ETag."""
        condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        guard: tuple[Any, ...] = ("create", sentinel)
        if etag:
            guard = ("update", sentinel, {"mode": UpdateMode.MERGE, **condition})
        replace = {"mode": UpdateMode.REPLACE}
        operations = [*(("upsert", row, replace) for row in rows), guard]
        try:
            if rows:
                answers = await self._table.submit_transaction(operations)
                return str(answers[-1]["etag"])
            if not etag:
                return str((await self._table.create_entity(sentinel))["etag"])
            answer = await self._table.update_entity(sentinel, UpdateMode.MERGE, **condition)
            return str(answer["etag"])
        except HttpResponseError as error:
            if error.status_code not in (404, 409, 412):
                raise
            # Was it ourselves, and the answer got lost on the way?
            found = await self.checkpoint(_instance_of(sentinel))
            if found is not None and found.commit == commit:
                return found.etag
            raise HistoryConflict(f"HTTP {error.status_code}") from error

    async def purge(self, instance_id: str) -> None:
        """Delete the history; the sentinel first, so that no turn can be appended any more."""
        key = escape_key(instance_id)
        await self._table.delete_entity(key, SENTINEL)
        keys = [
            str(row["RowKey"])
            async for row in self._table.query_entities(
                "PartitionKey eq @id", parameters={"id": key}, select=["RowKey"]
            )
        ]
        await self._delete(keys, instance_id)

    async def _delete(self, row_keys: Sequence[str], instance_id: str) -> None:
        key = escape_key(instance_id)
        for start in range(0, len(row_keys), _MAX_DELETES):
            part = row_keys[start : start + _MAX_DELETES]
            operations = [("delete", {"PartitionKey": key, "RowKey": each}) for each in part]
            try:
                await self._table.submit_transaction(operations)
            except HttpResponseError as error:
                if error.status_code != 404:
                    raise
                # Some are gone already, and with them the whole batch was refused.
                await asyncio.gather(*(self._table.delete_entity(key, each) for each in part))


def _instance_of(sentinel: Row) -> str:

    return unescape_key(sentinel["PartitionKey"])


def _checkpoint(sentinel: Row) -> Checkpoint:
    """What a stored sentinel says; `commit` is empty when the last turn was not ours."""
    found = Checkpoint(execution_id=sentinel.get("ExecutionId") or "", etag=etag_of(sentinel))
    text = sentinel.get("FuncPy")
    if not text:
        return found
    mark = _mark_decoder.decode(text)
    completed = sentinel.get("CheckpointCompletedTimestamp")
    if mark.at and (completed is None or time_text(plain_time(completed)) != mark.at):
        return found
    return Checkpoint(
        execution_id=found.execution_id,
        etag=found.etag,
        rows=mark.rows,
        next_id=mark.next_id,
        status=mark.status,
        before=mark.before,
        spare=mark.spare,
        redo=mark.redo,
        commit=mark.commit,
    )


def _batches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Rows in batches that the service takes; at least one, if only for the sentinel."""
    found: list[list[Row]] = [[]]
    size = 0
    for row in rows:
        size += estimated_bytes(row)
        if len(found[-1]) == MAX_ROWS or (found[-1] and size > MAX_BYTES):
            found.append([])
            size = estimated_bytes(row)
        found[-1].append(row)
    return list(found)

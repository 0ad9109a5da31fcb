"""The table of instances: one row for each, as the official tools read it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from func_py.durable.model import (
    FailureDetails,
    InstanceState,
    ParentLink,
    RuntimeStatus,
    TraceContext,
    split_entity_id,
)
from func_py.durable.storage.azure.blobs import LargePayloads, is_long
from func_py.durable.storage.azure.members import status_of
from func_py.durable.storage.azure.messages import decode_message, parse
from func_py.durable.storage.azure.names import escape_key, unescape_key
from func_py.durable.storage.azure.scheduler_state import decode_entity, encode_entity
from func_py.durable.storage.base import InstancePage, InstanceQuery
from func_py.errors import UserError

Row = Mapping[str, Any]

_LONG_COLUMNS = ("Input", "Output")


class _Private(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an instance has beside the official columns: the JSON of column FuncPy."""

    start: str = ""
    """Id of the start message, to send it again when it got lost."""
    parent: ParentLink | None = None
    trace: TraceContext | None = None
    failure: FailureDetails | None = None
    name: str | None = None
    """Of an entity, when it is not that of its id."""
    input: str | None = None
    """Of an entity: the official column holds its state."""


_private_decoder = msgspec.json.Decoder(_Private)


class Instances:
    """The rows of one hub."""

    def __init__(self, table: TableClient, payloads: LargePayloads, hub: str) -> None:
        self._table = table
        self._payloads = payloads
        self._hub = hub

    async def read(self, instance_id: str) -> Row | None:
        """The row, or None."""
        try:
            row: Row = await self._table.get_entity(escape_key(instance_id), "")
        except ResourceNotFoundError:
            return None
        return row

    async def exists(self, instance_id: str) -> bool:
        """Is there a row?"""
        try:
            await self._table.get_entity(escape_key(instance_id), "", select=["ExecutionId"])
        except ResourceNotFoundError:
            return False
        return True

    async def insert(self, state: InstanceState, generation: int | None, start: str) -> str | None:
        """Store a new row; its ETag, or None when there is one already."""
        row = await self._row(state, start)
        if generation is not None:
            row["Generation"] = generation
        try:
            answer = await self._table.create_entity(row)
        except ResourceExistsError:
            return None
        return str(answer["etag"])

    async def replace(
        self, state: InstanceState, etag: str, generation: int | None, start: str
    ) -> str | None:
        """Store a row in place of that with this ETag; the new ETag, or None when it changed."""
        row = await self._row(state, start)
        if generation is not None:
            row["Generation"] = generation
        return await self._update(row, etag, UpdateMode.REPLACE)

    async def merge(self, state: InstanceState, etag: str) -> str | None:
        """Change the row with this ETag, keep the columns we know nothing of; as `replace`."""
        row = await self._row(state, "")
        for column in _LONG_COLUMNS:
            # A merge leaves a column that is absent as it was.
            row[column] = row[column] or ""
        return await self._update(row, etag, UpdateMode.MERGE)

    async def _update(self, row: Row, etag: str, mode: UpdateMode) -> str | None:
        try:
            answer = await self._table.update_entity(
                row, mode, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return None
        return str(answer["etag"])

    async def delete(self, row: Row) -> bool:
        """Delete the row as it was read; False when it has changed since."""
        try:
            await self._table.delete_entity(
                row["PartitionKey"],
                "",
                etag=etag_of(row),
                match_condition=MatchConditions.IfNotModified,
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return False
        return True

    async def query(self, query: InstanceQuery) -> InstancePage:
        """One page, in the order of the ids."""
        parameters: dict[str, object] = {}
        conditions = _conditions(query, parameters)
        found: list[InstanceState] = []
        rows = self._table.query_entities(
            " and ".join(conditions), parameters=parameters, results_per_page=query.page_size + 1
        )
        async for row in rows:
            if len(found) == query.page_size:
                last = found[-1].instance_id
                token = base64.urlsafe_b64encode(f"azure:{last}".encode()).decode()
                return InstancePage(items=found, continuation=token)
            found.append(await self.state(row))
        return InstancePage(items=found)

    async def pending_since(self, time: datetime) -> list[Row]:
        """Of the instances that are Pending since before a time, what their rows tell of starts."""
        rows = self._table.query_entities(
            "RowKey eq '' and RuntimeStatus eq @status and CreatedTime lt @time",
            parameters={"status": RuntimeStatus.PENDING.value, "time": time},
            select=["PartitionKey", "FuncPy"],
        )
        return [row async for row in rows]

    # ---- rows and states -------------------------------------------------------------------

    async def _row(self, state: InstanceState, start: str) -> dict[str, Any]:
        private = _Private(
            start=start, parent=state.parent, trace=state.trace, failure=state.failure
        )
        row: dict[str, Any] = {
            "PartitionKey": escape_key(state.instance_id),
            "RowKey": "",
            "Name": state.name,
            "Version": state.version or "",
            "Input": state.input,
            "Output": state.output,
            "CustomStatus": state.custom_status or "null",
            "RuntimeStatus": state.status.value,
            "CreatedTime": state.created_at,
            "LastUpdatedTime": state.last_updated_at,
            "ExecutionId": state.execution_id,
            "TaskHubName": self._hub,
            "Tags": "null" if state.tags is None else json.dumps(state.tags, ensure_ascii=False),
        }
        if state.completed_at is not None:
            row["CompletedTime"] = state.completed_at
        if state.entity is not None:
            name, _ = split_entity_id(state.instance_id) or ("", "")
            private.name = state.name if state.name != name else None
            private.input = state.input
            row["Name"] = state.instance_id
            row["Input"], row["CustomStatus"] = encode_entity(state.entity, state.last_updated_at)
        row["FuncPy"] = msgspec.json.encode(private).decode()
        for column in _LONG_COLUMNS:
            if is_long(row[column]):
                name = f"{row['PartitionKey']}/history--{column}-{state.execution_id}.json.gz"
                row[column] = await self._payloads.put(name, row[column])
        check_text(row)
        return row

    async def state(self, row: Row) -> InstanceState:
        """The record that a row holds, also one that .NET wrote."""
        instance_id = unescape_key(row["PartitionKey"])
        private = _private_decoder.decode(row.get("FuncPy") or "{}")
        status = status_of(row.get("RuntimeStatus"))
        entity_name = split_entity_id(instance_id)
        text = await self._long(row.get("Input"))
        custom_status = row.get("CustomStatus") or None
        entity = None
        name = row.get("Name") or ""
        if entity_name is not None and name == instance_id:
            entity = decode_entity(text)
            name, text, custom_status = private.name or entity_name[0], private.input, None
        created = row.get("CreatedTime") or row["LastUpdatedTime"]
        return InstanceState(
            instance_id=instance_id,
            execution_id=row.get("ExecutionId") or "",
            name=name,
            status=status,
            created_at=plain_time(created),
            last_updated_at=plain_time(row.get("LastUpdatedTime") or created),
            completed_at=plain_time(row["CompletedTime"])
            if status.is_terminal and row.get("CompletedTime")
            else None,
            version=row.get("Version") or None,
            input=text,
            output=await self._long(row.get("Output")),
            custom_status=None if custom_status == "null" else custom_status,
            failure=private.failure,
            parent=private.parent,
            tags=json.loads(row.get("Tags") or "null"),
            trace=private.trace,
            entity=entity,
        )

    async def _long(self, text: str | None) -> str | None:
        """A value, from its blob when the column refers to one."""
        name = self._payloads.name_in(text)
        if not name:
            return text or None
        stored = await self._payloads.get(name)
        if not name.endswith("ExecutionStarted.json.gz"):
            return stored
        event = decode_message(parse(stored)).message.event
        return getattr(event, "input", None)


def etag_of(row: Row) -> str:
    """The ETag of a row that was read."""
    return str(row.metadata["etag"])  # type: ignore[attr-defined]  # the SDK's kind of dict


def start_id_of(row: Row) -> str:
    """Id of the message that started the instance, when this project wrote the row."""
    return _private_decoder.decode(row.get("FuncPy") or "{}").start


def check_text(row: Row) -> None:
    """Raise UnicodeError for text that is none: the SDK would store something else."""
    for value in row.values():
        if isinstance(value, str):
            value.encode()


def plain_time(time: datetime) -> datetime:
    """Without what the SDK's kind of datetime has more."""
    return datetime(*time.timetuple()[:6], time.microsecond, UTC)


def _conditions(query: InstanceQuery, parameters: dict[str, object]) -> list[str]:
    """The filter of a query. `parameters` gets its values, which the SDK quotes."""
    found = ["RowKey eq @row"]
    parameters["row"] = ""

    def add(condition: str, name: str, value: object) -> None:
        parameters[name] = value
        found.append(condition)

    if query.created_from is not None:
        add("CreatedTime ge @from", "from", query.created_from)
    if query.created_to is not None:
        add("CreatedTime le @to", "to", query.created_to)
    if query.statuses:
        names = sorted(query.statuses)
        for number, status in enumerate(names):
            parameters[f"status{number}"] = status.value
        found.append(
            "( " + " or ".join(f"RuntimeStatus eq @status{n}" for n in range(len(names))) + " )"
        )
    if query.prefix:
        prefix = escape_key(query.prefix)
        add("PartitionKey ge @first", "first", prefix)
        add("PartitionKey lt @behind", "behind", prefix[:-1] + chr(ord(prefix[-1]) + 1))
    if not query.prefix.startswith("@"):
        found.append("(PartitionKey lt '@' or PartitionKey ge 'A')")
    if query.continuation:
        add("PartitionKey gt @after", "after", escape_key(_last_id(query.continuation)))
    return found


def _last_id(token: str) -> str:
    """The id after which a continued page begins."""
    try:
        kind, _, last = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (ValueError, binascii.Error):
        kind, last = "", ""
    if kind != "azure":
        raise UserError("The continuation token is not one that this task hub gave.")
    return last

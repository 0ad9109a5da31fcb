"""The table that only func-py reads: the hosts of a hub, and named records.

Row keys are escaped. A record that was deleted leaves its row, because versions only grow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

from func_py.durable.storage.azure.blobs import MAX_COLUMN_UNITS, is_long
from func_py.durable.storage.azure.instances import check_text, etag_of, plain_time
from func_py.durable.storage.azure.names import escape_key
from func_py.durable.storage.base import HostRecord, Record
from func_py.errors import StorageError

_HOST = "host"
_RECORD = "record"

Row = Mapping[str, Any]


class Hosts:
    """The live hosts: rows that each host renews, and deletes when it goes."""

    def __init__(self, table: TableClient, duration: timedelta) -> None:
        self._table = table
        self._duration = duration

    async def write(self, host: HostRecord) -> None:
        """Make a host known, or renew it."""
        await self._table.upsert_entity(
            {
                "PartitionKey": _HOST,
                "RowKey": host.host_id,
                "StartedAt": host.started_at,
                "Functions": msgspec.json.encode(host.functions).decode(),
                "ExpiresAt": datetime.now(UTC) + self._duration,
            },
            UpdateMode.REPLACE,
        )

    async def delete(self, host_id: str) -> None:
        """Forget a host."""
        await self._table.delete_entity(_HOST, host_id)

    async def live(self) -> Sequence[HostRecord]:
        """All that renewed their row in time, oldest first."""
        now = datetime.now(UTC)
        found = [
            HostRecord(
                host_id=row["RowKey"],
                started_at=plain_time(row["StartedAt"]),
                functions=msgspec.json.decode(row["Functions"], type=list[str]),
            )
            async for row in self._table.query_entities(f"PartitionKey eq '{_HOST}'")
            if row["ExpiresAt"] > now
        ]
        return sorted(found, key=lambda host: (host.started_at, host.host_id))

    async def is_live(self, host_id: str) -> bool:
        """Did this host renew its row in time?"""
        try:
            row = await self._table.get_entity(_HOST, host_id)
        except ResourceNotFoundError:
            return False
        return bool(row["ExpiresAt"] > datetime.now(UTC))

    async def forget_dead(self) -> None:
        """Delete the rows of hosts that are dead for long."""
        limit = datetime.now(UTC) - 20 * self._duration
        query = f"PartitionKey eq '{_HOST}' and ExpiresAt lt @limit"
        async for row in self._table.query_entities(query, parameters={"limit": limit}):
            await self._table.delete_entity(_HOST, row["RowKey"])


class Records:
    """Named records and holds, as the host `host_id` sees them."""

    def __init__(
        self, table: TableClient, host_id: str, is_live: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._table = table
        self._host_id = host_id
        self._is_live = is_live

    async def read(self, key: str) -> Record | None:
        """See `TaskHub.read_record`."""
        row = await self._row(key)
        if row is None or row.get("Value") is None:
            return None
        return Record(key, row["Value"], row["Version"])

    async def write(self, key: str, value: str | None, version: int) -> bool:
        """See `TaskHub.write_record`; no value deletes the record."""
        if is_long(value):
            raise StorageError(f"record '{key}' is too long: {MAX_COLUMN_UNITS} characters at most")
        row = await self._row(key)
        stored = 0 if row is None or row.get("Value") is None else row["Version"]
        if stored != version or await self._is_anothers(row):
            return False
        last = 0 if row is None else row.get("Version") or 0
        holder = None if row is None else row.get("Holder")
        return await self._change(key, row, {"Value": value, "Version": last + 1}, holder)

    async def hold(self, key: str) -> bool:
        """See `TaskHub.hold_record`."""
        row = await self._row(key)
        if row is not None and row.get("Holder") == self._host_id:
            return True
        if await self._is_anothers(row):
            return False
        return await self._change(key, row, _content(row), self._host_id)

    async def release(self, key: str) -> None:
        """See `TaskHub.release_record`."""
        row = await self._row(key)
        while row is not None and row.get("Holder") == self._host_id:
            if await self._change(key, row, _content(row), None):
                return
            row = await self._row(key)

    async def _is_anothers(self, row: Row | None) -> bool:
        holder = None if row is None else row.get("Holder")
        return bool(holder) and holder != self._host_id and await self._is_live(str(holder))

    async def _row(self, key: str) -> Row | None:
        try:
            row: Row = await self._table.get_entity(_RECORD, escape_key(key))
        except ResourceNotFoundError:
            return None
        return row

    async def _change(
        self, key: str, row: Row | None, content: Mapping[str, Any], holder: str | None
    ) -> bool:
        entity = {
            "PartitionKey": _RECORD,
            "RowKey": escape_key(key),
            "Holder": holder,
            **content,
        }
        check_text(entity)
        try:
            if row is None:
                await self._table.create_entity(entity)
            else:
                await self._table.update_entity(
                    entity,
                    UpdateMode.REPLACE,
                    etag=etag_of(row),
                    match_condition=MatchConditions.IfNotModified,
                )
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            return False
        return True


def _content(row: Row | None) -> Mapping[str, Any]:
    return {} if row is None else {"Value": row.get("Value"), "Version": row.get("Version")}

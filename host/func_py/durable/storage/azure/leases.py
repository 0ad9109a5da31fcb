"""Leases of partitions: rows of the hub's table, as .NET's table partition manager keeps them.

All that is here runs on the event loop of `Keeper`. Times are compared between the clocks of the
hosts, as .NET does; a host whose clock is wrong by more than a few seconds does harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from func_py.durable.storage.azure.instances import etag_of, plain_time
from func_py.durable.storage.base import Lease

log = logging.getLogger("func_py.durable.storage")

Row = Mapping[str, Any]


class HeldLease:
    """A partition of ours. `valid_until`: by this process's monotonic clock."""

    __slots__ = ("lease", "valid_until")

    def __init__(self, lease: Lease, valid_until: float) -> None:
        self.lease = lease
        self.valid_until = valid_until


class Leases:
    """Those that this host holds, and what it does to the rows.

    Args:
        table: Of the partitions.
        queues: Names of the control queues, by partition: the row keys.
        owner: Who we are.
        duration: Until when a lease holds that is not renewed.
        lost: Told of a partition that is not ours any more.
    """

    def __init__(
        self,
        table: TableClient,
        queues: Sequence[str],
        owner: str,
        duration: timedelta,
        lost: Callable[[Lease], None],
    ) -> None:
        self._table = table
        self._queues = queues
        self._owner = owner
        self._duration = duration
        self._lost = lost
        self.held: dict[int, HeldLease] = {}

    async def owners(self) -> Mapping[str, str]:
        """Who has which control queue."""
        return {row["RowKey"]: row.get("CurrentOwner") or "" for row in await self._rows()}

    async def holder(self, partition: int) -> tuple[str, datetime | None]:
        """Who has a partition, empty for nobody, and until when it need not renew that."""
        for row in await self._rows():
            if row["RowKey"] == self._queues[partition] and not self._is_free(row):
                return row.get("CurrentOwner") or "", row.get("ExpiresAt")
        return "", None

    async def acquire(self, partitions: Collection[int], limit: int | None) -> Sequence[Lease]:
        """Take those that are free or whose owner does not renew them any more."""
        rows = {row["RowKey"]: row for row in await self._rows()}
        found: list[Lease] = []
        for partition in partitions:
            if limit is not None and len(found) >= limit:
                break
            row = rows.get(self._queues[partition])
            if row is None or partition in self.held or not self._is_free(row):
                continue
            before = row.get("OwnedSince")
            last = 0 if before is None else round(before.timestamp() * 1e6)
            # Also a partition that comes back to us has a new number.
            epoch = max(last + 1, time.time_ns() // 1000)
            asked_at = time.monotonic()
            if await self._own(row, datetime.fromtimestamp(epoch / 1e6, UTC)):
                lease = Lease(partition, epoch)
                valid_until = asked_at + self._duration.total_seconds()
                self.held[partition] = HeldLease(lease, valid_until)
                found.append(lease)
        return found

    def _is_free(self, row: Row) -> bool:
        expires = row.get("ExpiresAt")
        if expires is not None and expires <= datetime.now(UTC):
            return True
        return not row.get("CurrentOwner") and row.get("NextOwner") in (None, "", self._owner)

    async def renew(self) -> None:
        """Renew ours; give up those that another worker asks for, or has already."""
        asked_at = time.monotonic()
        for row in await self._rows():
            partition = self._partition_of(row)
            held = self.held.get(partition)
            if held is None:
                continue
            since = row.get("OwnedSince")
            if row.get("CurrentOwner") != self._owner or since is None:
                self._drop(held, "another worker has it")
            elif row.get("NextOwner"):
                # What is under way there is fenced by the histories; nothing is drained.
                # Should it not come, anybody may have the partition.
                heir = {"NextOwner": row["NextOwner"], "ExpiresAt": row["ExpiresAt"]}
                await self._replace(row, heir, plain_time(since))
                self._drop(held, f"{row['NextOwner']} asks for it")
            elif await self._own(row, plain_time(since)):
                held.valid_until = asked_at + self._duration.total_seconds()
            else:
                self._drop(held, "its row was changed")

    async def release(self, leases: Collection[Lease]) -> None:
        """Let others have these at once; those that are not ours are ignored."""
        ours = [h for h in self.held.values() if h.lease in leases]
        if not ours:
            return
        rows = {row["RowKey"]: row for row in await self._rows()}
        for held in ours:
            row = rows.get(self._queues[held.lease.partition])
            if row is not None and row.get("CurrentOwner") == self._owner:
                # The time it was owned last stays: the next epoch is greater. Should another worker
                # be asking for it at this moment, it has to wait until the lease has run out.
                await self._replace(row, {}, plain_time(row["OwnedSince"]))
            self.held.pop(held.lease.partition, None)

    def _drop(self, held: HeldLease, why: str) -> None:
        log.warning("Partition %d is lost: %s.", held.lease.partition, why)
        self.held.pop(held.lease.partition, None)
        self._lost(held.lease)

    def _partition_of(self, row: Row) -> int:
        key = row["RowKey"]
        return self._queues.index(key) if key in self._queues else -1

    async def _rows(self) -> list[Row]:
        return [row async for row in self._table.list_entities()]

    async def _own(self, row: Row, since: datetime) -> bool:
        now = datetime.now(UTC)
        owner = {
            "CurrentOwner": self._owner,
            "LastRenewal": now,
            "ExpiresAt": now + self._duration,
        }
        return await self._replace(row, owner, since)

    async def _replace(self, row: Row, columns: Mapping[str, Any], since: datetime) -> bool:
        """Write the whole row, if it is still as it was read: a merge cannot clear columns."""
        entity = {
            "PartitionKey": row["PartitionKey"],
            "RowKey": row["RowKey"],
            "IsDraining": False,
            "OwnedSince": since,
            **columns,
        }
        try:
            await self._table.update_entity(
                entity,
                UpdateMode.REPLACE,
                etag=etag_of(row),
                match_condition=MatchConditions.IfNotModified,
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return False
        return True

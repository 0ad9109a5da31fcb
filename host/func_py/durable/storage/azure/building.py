"""Creates and deletes what a task hub in Azure Storage is made of."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableTransactionError
from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient

from func_py.durable.faults import reach
from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.parts import gather_all
from func_py.durable.storage.azure.private import Hosts
from func_py.errors import ConfigError, UserError


async def create_hub(account: Account, names: HubNames, partition_count: int) -> None:
    """Create what is not there; the partition count of a hub that is there stays.

    Raises:
        ConfigError: An older official host made the hub, with another count.
    """
    async with account.clients() as (tables, queues, blobs):
        await gather_all(tables.create_table_if_not_exists(name) for name in names.tables)
        partitions = tables.get_table_client(names.partitions)
        there = [row async for row in partitions.list_entities(select=["RowKey"])]
        if not there:
            made_with = await _recorded_count(blobs, names)
            if made_with not in (None, partition_count):
                raise another_count(partition_count, made_with)
            rows = [
                {"PartitionKey": "", "RowKey": names.control(number), "IsDraining": False}
                for number in range(partition_count)
            ]
            # All at once: their number is the hub's partition count.
            with suppress(TableTransactionError):
                await partitions.submit_transaction([("create", row) for row in rows])
            there = [row async for row in partitions.list_entities(select=["RowKey"])]
        reach("store.schema_half")
        queue_names = [names.work_items, *(row["RowKey"] for row in there)]
        await gather_all(_unless_there(queues.create_queue(name)) for name in queue_names)
        await _unless_there(blobs.create_container(names.app_lease))
        info = blobs.get_blob_client(names.app_lease, names.app_lease_info)
        await _unless_there(info.upload_blob("{}", overwrite=False))


def another_count(configured: int, made_with: int | None) -> ConfigError:
    """What is wrong when a hub has another number of partitions than host.json says."""
    return ConfigError(
        "host.json",
        "extensions.durableTask.storageProvider.partitionCount",
        f"is {configured}, but the task hub was made with {made_with}",
        "It cannot be changed: messages would go where nobody looks. "
        "Use the former value, or another hubName.",
    )


async def _recorded_count(blobs: BlobServiceClient, names: HubNames) -> int | None:
    """The partition count, where official hosts wrote it that keep leases in blobs."""
    blob = blobs.get_blob_client(names.lease_blobs, "taskhub.json")
    try:
        record = json.loads(await (await blob.download_blob()).readall())
        return int(record["PartitionCount"])
    except (ResourceNotFoundError, ValueError, KeyError, TypeError):
        return None


async def delete_hub(
    account: Account, names: HubNames, partition_count: int, lease: timedelta
) -> None:
    """Delete everything of a hub.

    Args:
        account: Where it is.
        names: Of the hub.
        partition_count: Of a hub whose table of partitions is gone.
        lease: How long a host is alive that gives no sign of life.

    Raises:
        UserError: A host is at work on it.
    """
    async with account.clients() as (tables, queues, blobs):
        partitions = tables.get_table_client(names.partitions)
        try:
            if await Hosts(tables.get_table_client(names.private), lease).live():
                raise UserError(f"The task hub '{names.hub}' is in use.")
            found = [row["RowKey"] async for row in partitions.list_entities()]
        except ResourceNotFoundError:
            found = [names.control(number) for number in range(partition_count)]
        app_lease = blobs.get_container_client(names.app_lease)
        with suppress(ResourceNotFoundError, ResourceExistsError):  # none to be ended
            await BlobLeaseClient(app_lease).break_lease(lease_break_period=0)
        await gather_all(
            [
                *(_if_there(queues.delete_queue(name)) for name in [names.work_items, *found]),
                *(_if_there(tables.delete_table(name)) for name in names.tables),
                _if_there(blobs.delete_container(names.large_messages)),
                _if_there(blobs.delete_container(names.app_lease)),
                _if_there(blobs.delete_container(names.lease_blobs)),
            ]
        )


async def _unless_there(work: Coroutine[Any, Any, object]) -> None:
    with suppress(ResourceExistsError):
        await work


async def _if_there(work: Coroutine[Any, Any, object]) -> None:
    with suppress(ResourceNotFoundError):
        await work

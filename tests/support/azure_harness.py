"""The Azure Storage provider, on Azurite, for the conformance suite."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.azure.opened import AzureOptions
from func_py.durable.storage.azure.queues import Held, MessageQueue
from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub
from func_py.errors import UserError

OPTIONS = AzureOptions(longest_poll=timedelta(milliseconds=100))


class _Hub(AzureTaskHub):
    """Knows as whom it was opened, and what it holds."""

    host_id = ""

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        self.host_id = host.host_id
        info = await super().open(host)
        return replace(info, name=info.name.rpartition("x")[2])

    def held(self) -> list[tuple[str, Held]]:
        """Every message that only this host sees, with the name of its queue."""
        assert self._open is not None
        parts = self._open.parts
        found = [(parts.names.work_items, held) for held in parts.work.everything()]
        for number, control in parts.controls.items():
            found += [(parts.names.control(number), held) for held in control.everything()]
        return found


class AzureHarness:
    """See `conformance.harness.Harness`.

    Args:
        connection_string: Of an account.
        place: Names what belongs to this test; letters and digits.
    """

    loses_turns = False
    has_transactions = False
    uses_queues = True

    def __init__(self, connection_string: str, place: str, options: AzureOptions = OPTIONS) -> None:
        self.connection_string = connection_string
        self.place = place
        self._azure_options = options
        self._names: set[str] = set()

    def hub(self, name: str = "TestHub", partition_count: int = 4) -> TaskHub:
        """See `Harness`."""
        self._names.add(name)
        account = Account(connection_string=self.connection_string)
        return _Hub(account, f"{self.place}{name}", partition_count, self._azure_options)

    async def die(self, hub: TaskHub) -> None:
        """See `Harness`. What happens when its time has run out happens at once."""
        assert isinstance(hub, _Hub)
        held = hub.held()
        await hub.die()
        names = hub.names
        async with TableServiceClient.from_connection_string(self.connection_string) as tables:
            await tables.get_table_client(names.private).delete_entity("host", hub.host_id)
            partitions = tables.get_table_client(names.partitions)
            async for row in partitions.list_entities():
                if row.get("CurrentOwner") == hub.host_id:
                    row["ExpiresAt"] = datetime.now(UTC) - timedelta(seconds=1)
                    await partitions.update_entity(row, UpdateMode.REPLACE)
        async with QueueServiceClient.from_connection_string(self.connection_string) as queues:
            for name, each in held:
                await MessageQueue(queues.get_queue_client(name)).hide(each, 0)

    async def remove(self) -> None:
        """Delete the hubs: Azurite is slow with many messages."""
        for name in list(self._names):
            with suppress(UserError):
                await self.hub(name).delete_hub()

"""What an open task hub in Azure Storage is made of, and how it is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from func_py.durable.storage.azure.account import Account, Clients
from func_py.durable.storage.azure.committing import Committer
from func_py.durable.storage.azure.control import Control, Letter
from func_py.durable.storage.azure.keeper import Keeper
from func_py.durable.storage.azure.mailroom import Mailroom
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.parts import Parts
from func_py.durable.storage.azure.private import Hosts, Records
from func_py.durable.storage.azure.starts import Starts
from func_py.durable.storage.azure.work_items import HeldCall
from func_py.durable.storage.base import HostRecord, Lease, Mail
from func_py.errors import LeaseLost


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureOptions:
    """How a host works on a hub."""

    lease: timedelta = timedelta(seconds=30)
    """How long others wait for a sign of life of a host."""
    hidden: timedelta = timedelta(seconds=60)
    """How long a message stays hidden when its holder says nothing."""
    longest_poll: timedelta = timedelta(seconds=5)
    """Between looks at a queue that is idle."""
    app: str | None = ""
    """Name of the app whose workers share the hub; None to leave the app lease alone."""


class OpenHub:
    """What an open hub is made of."""

    def __init__(
        self,
        account: Account,
        names: HubNames,
        partition_count: int,
        options: AzureOptions,
        host: HostRecord,
        clients: Clients,
        connections: AsyncExitStack,
        changed: asyncio.Event,
    ) -> None:
        """`connections` are the hub's to close; `changed` is set when a lease of ours is lost."""
        self.connections = connections
        self.parts = Parts(
            clients,
            names,
            partition_count,
            max(1, round(options.hidden.total_seconds())),
            self._deliver,
        )
        self.starts = Starts(self.parts)
        self.mailroom = Mailroom(self.parts, self.starts, options.longest_poll.total_seconds())
        self.keeper = Keeper(
            account, names, partition_count, host, options.lease, options.app, self._lost
        )
        private = self.parts.tables.get_table_client(names.private)
        self.hosts = Hosts(private, options.lease)
        self.records = Records(private, host.host_id, self.hosts.is_live)
        self.committer = Committer(self.parts, self.starts, self.holds, self.mailroom.look)
        self.fresh: dict[int, list[HeldCall]] = {}
        """Calls that were found and not told yet, by partition."""
        self._changed = changed

    def _deliver(self, control: Control, letters: Sequence[Letter]) -> None:
        self.mailroom.deliver(control, letters)

    def _lost(self, lease: Lease) -> None:
        """The partition is another's: forget what is held of it; it comes again, there."""
        control = self.mailroom.control(lease)
        if control is not None:
            self.parts.do_later(self.mailroom.shut(lease))
        self._changed.set()

    def holds(self, lease: Lease) -> bool:
        """Is the lease ours, and not past its time?"""
        held = self.keeper.held(lease.partition)
        loop = asyncio.get_running_loop()
        return held is not None and held.lease == lease and loop.time() < held.valid_until

    def checked(self, lease: Lease) -> Control:
        """What is held under a lease that must be ours; raises LeaseLost."""
        control = self.mailroom.control(lease)
        if control is None or not self.holds(lease):
            raise LeaseLost(lease.partition, lease.epoch)
        return control

    def mail(self, control: Control, letter: Letter) -> Mail:
        """A letter as the engine takes it."""
        return Mail(
            partition=control.lease.partition,
            epoch=control.lease.epoch,
            message=letter.message,
            token=letter.token,
        )

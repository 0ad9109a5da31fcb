"""Renews what a host must renew while it lives: its record, its leases, the lease of the app.

In a thread with an event loop of its own, so that user code that blocks the host's loop does not
hand its partitions, and the block, to the next host.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from azure.core.exceptions import AzureError

from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.app_lease import AppLease
from func_py.durable.storage.azure.leases import HeldLease, Leases
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.private import Hosts
from func_py.durable.storage.base import HostRecord, Lease

log = logging.getLogger("func_py.durable.storage")

_STOP_LIMIT_S = 5

T = TypeVar("T")


class Keeper:
    """The thread. Its methods are called on the host's event loop.

    Args:
        account: Where the hub is.
        names: Of the hub.
        partition_count: Of the hub.
        host: Who we are.
        duration: How long others take us for alive when they hear nothing.
        app: Name of the app whose workers share the hub; None to leave the app lease alone.
        lost: Told, on the host's event loop, of a partition that is not ours any more.
    """

    def __init__(
        self,
        account: Account,
        names: HubNames,
        partition_count: int,
        host: HostRecord,
        duration: timedelta,
        app: str | None,
        lost: Callable[[Lease], None],
    ) -> None:
        self._account = account
        self._names = names
        self._count = partition_count
        self._host = host
        self._duration = duration
        self._app = app
        self._lost = lost
        self._home = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._ready: asyncio.Future[None] = self._home.create_future()
        self._stop = asyncio.Event()
        self._leases: Leases | None = None
        self._changing = asyncio.Lock()
        """Of leases: their rows are written as they were read, by one of us at a time."""
        self._hosts: Hosts | None = None
        self._app_lease: AppLease | None = None
        self._alive_until = 0.0
        self._has_left = False
        self._thread = threading.Thread(
            target=self._run, name=f"keeper of {names.hub}", daemon=True
        )

    async def start(self) -> None:
        """Make the host known; afterwards it is renewed."""
        self._thread.start()
        await asyncio.shield(self._ready)

    def held(self, partition: int) -> HeldLease | None:
        """Our lease of a partition, whether it is still valid or not."""
        return None if self._leases is None else self._leases.held.get(partition)

    @property
    def is_overdue(self) -> bool:
        """May others take this host for dead?"""
        return time.monotonic() > self._alive_until

    async def renew(self) -> Sequence[Lease]:
        """See `TaskHub.renew`."""
        await self._call(self._renew())
        assert self._leases is not None
        return [held.lease for held in self._leases.held.values()]

    async def publish(self, functions: Sequence[str]) -> None:
        """See `TaskHub.publish`."""
        self._host = dataclasses.replace(self._host, functions=functions)
        await self._call(self._renew_host())

    async def owners(self) -> Mapping[str, str]:
        """Who has which control queue."""
        assert self._leases is not None
        return await self._call(self._leases.owners())

    async def holder(self, partition: int) -> tuple[str, datetime | None]:
        """Who has a partition, and until when."""
        assert self._leases is not None
        return await self._call(self._leases.holder(partition))

    async def acquire(self, partitions: Collection[int], limit: int | None) -> Sequence[Lease]:
        """See `TaskHub.acquire`."""
        return await self._call(self._acquire(partitions, limit))

    async def release(self, leases: Collection[Lease]) -> None:
        """See `TaskHub.release`."""
        await self._call(self._release(leases))

    async def stop(self, *, gracefully: bool) -> None:
        """End; gracefully: leave nothing behind that others would have to wait for."""
        if not self._thread.is_alive():
            return
        if gracefully and self._ready.done():
            try:
                async with asyncio.timeout(_STOP_LIMIT_S):
                    await self._call(self._leave())
            except (AzureError, TimeoutError) as error:
                log.warning("The others learn late that this host is gone: %s", error)
        self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the keeper's loop; the caller may be cancelled, this is not."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # ---- on the keeper's loop --------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._keep())
        finally:
            self._loop.close()

    async def _keep(self) -> None:
        queues = [self._names.control(number) for number in range(self._count)]
        try:
            async with self._account.clients() as (tables, _, blobs):
                self._hosts = Hosts(tables.get_table_client(self._names.private), self._duration)
                self._leases = Leases(
                    tables.get_table_client(self._names.partitions),
                    queues,
                    self._host.host_id,
                    self._duration,
                    self._tell,
                )
                if self._app is not None:
                    self._app_lease = AppLease(blobs, self._names, self._app)
                await self._renew_host()
                self._home.call_soon_threadsafe(_answer, self._ready, None)
                await self._renew_until_stopped()
        except Exception as error:  # noqa: BLE001 - handed to whoever started the thread
            self._home.call_soon_threadsafe(_answer, self._ready, error)

    async def _renew_until_stopped(self) -> None:
        pause = self._duration.total_seconds() / 3
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
                return
            try:
                await self._renew()
            except AzureError as error:
                # What cannot be renewed ends by itself; the host notices with its own calls.
                log.debug("Leases could not be renewed: %s", error)

    async def _renew(self) -> None:
        assert self._leases is not None
        if self._has_left:
            return
        await self._renew_host()
        async with self._changing:
            if self._leases.held:
                await self._leases.renew()
                if not await self._has_app_lease():
                    await self._give_up(self._leases)

    async def _renew_host(self) -> None:
        assert self._hosts is not None
        asked_at = time.monotonic()
        await self._hosts.write(self._host)
        self._alive_until = asked_at + self._duration.total_seconds()

    async def _acquire(self, partitions: Collection[int], limit: int | None) -> Sequence[Lease]:
        assert self._leases is not None
        assert self._hosts is not None
        async with self._changing:
            if self._has_left:
                return []
            if not self._leases.held:
                await self._hosts.forget_dead()
                if not await self._has_app_lease():
                    return []
            return await self._leases.acquire(partitions, limit)

    async def _release(self, leases: Collection[Lease]) -> None:
        assert self._leases is not None
        async with self._changing:
            await self._leases.release(leases)

    async def _has_app_lease(self) -> bool:
        return self._app_lease is None or await self._app_lease.renew()

    async def _give_up(self, leases: Leases) -> None:
        """Another app has taken the hub over: let it have the partitions."""
        ours = [held.lease for held in leases.held.values()]
        await leases.release(ours)
        for lease in ours:
            self._tell(lease)

    async def _leave(self) -> None:
        assert self._hosts is not None
        assert self._leases is not None
        async with self._changing:
            self._has_left = True
            await self._leases.release([held.lease for held in self._leases.held.values()])
        await self._hosts.delete(self._host.host_id)

    def _tell(self, lease: Lease) -> None:
        with suppress(RuntimeError):  # its loop has ended
            self._home.call_soon_threadsafe(self._lost, lease)


def _answer(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)

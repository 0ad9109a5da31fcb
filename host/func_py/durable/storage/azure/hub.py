"""The task hub in Azure Storage: the contract's verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from azure.core.exceptions import (
    ResourceNotFoundError,
)

from func_py.durable.faults import reach
from func_py.durable.model import (
    ActivityTask,
    ExecutionStarted,
    InstanceState,
    LongTimers,
    Message,
    RuntimeStatus,
    TimerTask,
    partition_of,
    split_entity_id,
)
from func_py.durable.storage.azure.account import Account, answers
from func_py.durable.storage.azure.building import another_count, create_hub, delete_hub
from func_py.durable.storage.azure.members import LONG_TIMERS, status_of
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.azure.opened import AzureOptions, OpenHub
from func_py.durable.storage.azure.parts import Writes, gather_all
from func_py.durable.storage.azure.store import Place
from func_py.durable.storage.azure.work_items import HeldCall, sorted_tasks
from func_py.durable.storage.base import (
    Committed,
    HistoryPage,
    HostRecord,
    HubInfo,
    InstancePage,
    InstanceQuery,
    Lease,
    Loaded,
    Lost,
    Mail,
    Position,
    Record,
    Recovered,
    TaskKey,
    Turn,
    Unseen,
    Whereabouts,
)
from func_py.errors import (
    InstanceNotFinished,
    StorageUnavailable,
    TaskHubNotFound,
)

T = TypeVar("T")


class AzureTaskHub:
    """See `TaskHub`.

    Args:
        account: Where it is.
        name: Of the hub.
        partition_count: Of a hub that is created; what an existing one must have.
        options: How to work on it.
    """

    def __init__(
        self, account: Account, name: str, partition_count: int, options: AzureOptions
    ) -> None:
        self.account = account
        self.names = HubNames(name)
        self._partition_count = partition_count
        self.options = options
        self._writes = Writes()
        self._open: OpenHub | None = None
        self._is_closed = False
        self._hosts_changed = asyncio.Event()
        self._owners_seen: object = None

    # ---- hub -------------------------------------------------------------------------------

    async def create_hub(self) -> None:
        """See `TaskHub.create_hub`."""
        with answers():
            await create_hub(self.account, self.names, self._partition_count)

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        location = f"{self.account.location}, hub {self.names.hub}"
        with answers():
            async with self.account.clients() as (tables, _, _):
                partitions = tables.get_table_client(self.names.partitions)
                try:
                    found = [row async for row in partitions.list_entities(select=["RowKey"])]
                except ResourceNotFoundError as error:
                    raise TaskHubNotFound(location) from error
            if not found:
                raise TaskHubNotFound(location)
            if len(found) != self._partition_count:
                raise another_count(self._partition_count, len(found))
            stack = AsyncExitStack()
            clients = await stack.enter_async_context(self.account.clients())
            opened = OpenHub(
                self.account,
                self.names,
                self._partition_count,
                self.options,
                host,
                clients,
                stack,
                self._hosts_changed,
            )
            self._open = opened
            await opened.keeper.start()
        return HubInfo(
            name=self.names.hub,
            provider="AzureStorage",
            location=location,
            partition_count=self._partition_count,
            capabilities=frozenset(),
        )

    async def close(self) -> None:
        """See `TaskHub.close`."""
        opened = await self._shut()
        if opened is None:
            return
        await self._writes.settle()
        with suppress(StorageUnavailable), answers():
            await self._let_go([c.lease for c in opened.parts.controls.values()], (), opened)
            claimed = [call.key for call in opened.parts.work.held(lambda _: True)]
            await opened.parts.work.offer(claimed)
        await opened.keeper.stop(gracefully=True)
        await opened.connections.aclose()

    async def die(self) -> None:
        """End as a killed process does: nothing is released, deleted or given back."""
        opened = await self._shut()
        if opened is not None:
            opened.parts.drop_later()
            await opened.keeper.stop(gracefully=False)
            await opened.connections.aclose()

    async def _shut(self) -> OpenHub | None:
        """Answer nothing any more; what was open."""
        opened, self._open = self._open, None
        self._is_closed = True
        self._hosts_changed.set()
        if opened is not None:
            await opened.mailroom.close()
        return opened

    async def delete_hub(self) -> None:
        """See `TaskHub.delete_hub`."""
        with answers():
            await delete_hub(self.account, self.names, self._partition_count, self.options.lease)

    async def hosts(self) -> Sequence[HostRecord]:
        """See `TaskHub.hosts`."""
        return await self._read(self._opened.hosts.live())

    async def publish(self, functions: Sequence[str]) -> None:
        """See `TaskHub.publish`."""
        await self._writes.run(self._opened.keeper.publish(functions))

    async def watch_hosts(self, known: Sequence[HostRecord]) -> Sequence[HostRecord]:
        """See `TaskHub.watch_hosts`. The table is looked at now and then: nobody rings a bell."""
        while True:
            is_told = self._hosts_changed.is_set()
            self._hosts_changed.clear()
            opened = self._opened
            hosts = await self.hosts()
            owners = await self._read(opened.keeper.owners())
            is_other = self._owners_seen is None or owners != self._owners_seen
            self._owners_seen = owners
            if is_told or is_other or list(hosts) != list(known):
                return hosts
            with suppress(TimeoutError):
                async with asyncio.timeout(self.options.longest_poll.total_seconds()):
                    await self._hosts_changed.wait()

    @property
    def long_timers(self) -> LongTimers | None:
        """See `TaskHub.long_timers`: as the official host cuts them."""
        return LONG_TIMERS

    @property
    def is_overdue(self) -> bool:
        """See `TaskHub.is_overdue`."""
        return self._open is not None and self._open.keeper.is_overdue

    async def renew(self) -> Sequence[Lease]:
        """See `TaskHub.renew`."""
        return await self._read(self._opened.keeper.renew())

    # ---- client ----------------------------------------------------------------------------

    async def create_instance(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """See `TaskHub.create_instance`."""
        await self._writes.run(self._opened.starts.create(state, start, reusable))

    async def send(self, messages: Sequence[Message]) -> None:
        """See `TaskHub.send`."""
        await self._writes.run(self._send(messages))

    async def _send(self, messages: Sequence[Message]) -> None:
        opened = self._opened
        parts = opened.parts
        nobody = await gather_all(parts.is_for_nobody(message) for message in messages)
        wanted = [m for m, dropped in zip(messages, nobody, strict=True) if not dropped]
        texts = [await parts.encode(message, parts.numbers.next()) for message in wanted]
        for message, text in zip(wanted, texts, strict=True):
            if isinstance(message.event, ExecutionStarted):
                await opened.starts.begin_child(message)
            await parts.post(message, text)
        for message in wanted:
            opened.mailroom.wake(partition_of(message.instance_id, self._partition_count))

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """See `TaskHub.get_instance`."""
        return await self._read(self._get_instance(instance_id))

    async def _get_instance(self, instance_id: str) -> InstanceState | None:
        instances = self._opened.parts.instances
        row = await instances.read(instance_id)
        return None if row is None else await instances.state(row)

    async def read_history(self, instance_id: str, after: Position | None = None) -> HistoryPage:
        """See `TaskHub.read_history`."""
        place = after if isinstance(after, Place) else None
        return await self._read(self._opened.parts.store.read(instance_id, place))

    async def whereabouts(self, instance_id: str) -> Whereabouts:
        """See `TaskHub.whereabouts`. Who has taken a message out of a queue is not recorded."""
        partition = partition_of(instance_id, self._partition_count)
        owner, until = await self._read(self._opened.keeper.holder(partition))
        return Whereabouts(owner=owner, owner_until=until)

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """See `TaskHub.query_instances`."""
        return await self._read(self._opened.parts.instances.query(query))

    async def purge(self, instance_id: str) -> bool:
        """See `TaskHub.purge`."""
        return await self._writes.run(self._purge(instance_id))

    async def _purge(self, instance_id: str) -> bool:
        parts = self._opened.parts
        while True:
            row = await parts.instances.read(instance_id)
            if row is None:
                return False
            status = status_of(row.get("RuntimeStatus"))
            if not status.is_terminal:
                raise InstanceNotFinished(instance_id, status.value)
            if await parts.instances.delete(row):
                break
        await parts.history.purge(instance_id)
        await parts.payloads.delete_all(instance_id)
        if split_entity_id(instance_id) is None:
            parts.forget_instance(instance_id)
        return True

    # ---- owner -----------------------------------------------------------------------------

    async def acquire(
        self, partitions: Collection[int], limit: int | None = None
    ) -> Sequence[Lease]:
        """See `TaskHub.acquire`."""
        opened = self._opened
        acquiring = asyncio.ensure_future(self._writes.run(self._acquire(partitions, limit)))
        try:
            return await asyncio.shield(acquiring)
        except asyncio.CancelledError:

            def give_back(done: asyncio.Future[Sequence[Lease]]) -> None:
                if not done.cancelled() and done.exception() is None and self._open is opened:
                    opened.parts.do_later(self._let_go(done.result(), (), opened))

            acquiring.add_done_callback(give_back)
            raise

    async def _acquire(self, partitions: Collection[int], limit: int | None) -> Sequence[Lease]:
        opened = self._opened
        leases = await opened.keeper.acquire(partitions, limit)
        for lease in leases:
            opened.mailroom.open(lease)
        return leases

    async def release(self, leases: Sequence[Lease], keep: Collection[TaskKey] = ()) -> None:
        """See `TaskHub.release`."""
        await self._writes.run(self._let_go(leases, keep, self._opened))

    async def _let_go(
        self, leases: Sequence[Lease], keep: Collection[TaskKey], opened: OpenHub
    ) -> None:
        parts = opened.parts
        ours = [lease for lease in leases if opened.mailroom.control(lease) is not None]
        controls = [await opened.mailroom.shut(lease) for lease in ours]
        await parts.settle()
        numbers = {lease.partition for lease in ours}
        calls = parts.work.held(lambda task: self._partition_of(task) in numbers)
        await parts.work.release([call for call in calls if call.key not in keep])
        await gather_all(control.queue.show_all(control.everything()) for control in controls)
        await opened.keeper.release(ours)

    async def recover(self, lease: Lease, timers_until: datetime) -> Recovered:
        """See `TaskHub.recover`."""
        return await self._writes.run(self._recover(lease, timers_until))

    async def _recover(self, lease: Lease, timers_until: datetime) -> Recovered:
        opened = self._opened
        control = opened.checked(lease)
        await opened.parts.settle()
        await opened.mailroom.drain(control)
        await self._sweep(opened)
        opened.fresh.pop(lease.partition, None)
        calls = opened.parts.work.held(lambda t: self._partition_of(t) == lease.partition)
        opened.mailroom.begin(control)
        return Recovered(
            mail=[opened.mail(control, letter) for letter in control.letters()],
            timers=control.timers(None, timers_until),
            activities=sorted_tasks(calls),
        )

    async def _sweep(self, opened: OpenHub) -> None:
        """Hold the calls of our partitions that nobody else holds."""
        parts = opened.parts
        found = await parts.work.sweep(
            lambda task: self._partition_of(task) in parts.controls, self._is_wanted
        )
        for call in found:
            former = parts.work.adopt(call)
            if former is not None:
                parts.delete_later(parts.work.queue, [former])
            opened.fresh.setdefault(self._partition_of(call.task), []).append(call)

    async def _is_wanted(self, task: ActivityTask) -> bool:
        """Is the execution that asked for this still the instance's?"""
        row = await self._opened.parts.instances.read(task.instance_id)
        return row is not None and row.get("ExecutionId") == task.execution_id

    async def receive(self) -> Sequence[Mail]:
        """See `TaskHub.receive`."""
        opened = self._opened
        while True:
            found = await opened.mailroom.receive()
            mail = [
                opened.mail(control, letter)
                for control, letter in found
                if opened.mailroom.control(control.lease) is control and not letter.is_void
            ]
            if mail:
                return mail

    async def read_mail(self, lease: Lease, message_id: str) -> Mail | None:
        """See `TaskHub.read_mail`; nothing is withheld here."""
        return None

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """See `TaskHub.timers`."""
        control = self._opened.mailroom.control(lease)
        return [] if control is None else control.timers(after, until)

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """See `TaskHub.load`."""
        return await self._read(self._opened.parts.store.load(instance_id, history=history))

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """See `TaskHub.commit`."""
        return await self._writes.run(self._commit(turns))

    async def _commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        committer = self._opened.committer
        return await gather_all(committer.commit(turn) for turn in turns)

    async def offer_activities(self, activities: Collection[ActivityTask]) -> None:
        """See `TaskHub.offer_activities`."""
        keys = [TaskKey(a.instance_id, a.execution_id, a.task_id) for a in activities]
        await self._writes.run(self._opened.parts.work.offer(keys))

    async def claim_activities(self, names: Collection[str], limit: int) -> Sequence[ActivityTask]:
        """See `TaskHub.claim_activities`."""
        pause = 0.05
        while True:
            found = await self._writes.run(self._claim(names, limit))
            if found:
                return sorted_tasks(found)
            await self._opened.mailroom.pause(pause)
            pause = min(2 * pause, self.options.longest_poll.total_seconds())

    async def _claim(self, names: Collection[str], limit: int) -> Sequence[HeldCall]:
        caller = asyncio.current_task()
        work = self._opened.parts.work
        found = await work.claim(frozenset(names), limit, self._is_wanted)
        for call in found:
            work.adopt(call)
        if caller is not None and self._writes.is_left(caller):
            await work.offer([call.key for call in found])
            return []
        return found

    async def read_activity(self, key: TaskKey) -> ActivityTask | None:
        """See `TaskHub.read_activity`; nothing is withheld here."""
        return None

    async def complete_activity(self, key: TaskKey, result: Message) -> bool:
        """See `TaskHub.complete_activity`."""
        return await self._writes.run(self._complete(key, result))

    async def _complete(self, key: TaskKey, result: Message) -> bool:
        opened = self._opened
        parts = opened.parts
        if key not in parts.work:
            return False
        await parts.post(result, await parts.encode(result, parts.numbers.next()))
        opened.mailroom.wake(partition_of(result.instance_id, self._partition_count))
        reach("azure.result_without_delete")
        await gather_all(parts.work.queue.delete(held) for held in parts.work.take([key]))
        return True

    async def take_back_activities(self, lease: Lease) -> Sequence[ActivityTask]:
        """See `TaskHub.take_back_activities`."""
        return await self._writes.run(self._take_back(lease))

    async def _take_back(self, lease: Lease) -> Sequence[ActivityTask]:
        opened = self._opened
        opened.checked(lease)
        await self._sweep(opened)
        return sorted_tasks(opened.fresh.pop(lease.partition, []))

    async def unseen(self) -> Unseen:
        """See `TaskHub.unseen`. The service counts messages, hidden or not."""
        return await self._read(self._unseen())

    async def _unseen(self) -> Unseen:
        parts = self._opened.parts
        await parts.settle()
        held = len(parts.work.everything())
        held += sum(control.message_count() for control in parts.controls.values())
        queues = [parts.work.queue, *(control.queue for control in parts.controls.values())]
        stored = sum(await gather_all(queue.count() for queue in queues))
        return Unseen(max(0, stored - held), timedelta(seconds=parts.hidden_s))

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """See `TaskHub.discard`."""
        await self._writes.run(self._discard(lease, messages, activities))

    async def _discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        opened = self._opened
        control = opened.checked(lease)
        if any(message_id not in control for message_id in messages):
            await opened.mailroom.look(control)
        opened.parts.delete_later(control.queue, control.consume(messages))
        work = opened.parts.work
        opened.parts.delete_later(work.queue, work.take(activities))

    # ---- records ---------------------------------------------------------------------------

    async def read_record(self, key: str) -> Record | None:
        """See `TaskHub.read_record`."""
        return await self._read(self._opened.records.read(key))

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """See `TaskHub.write_record`."""
        return await self._writes.run(self._opened.records.write(key, value, version))

    async def delete_record(self, key: str, version: int) -> bool:
        """See `TaskHub.delete_record`."""
        return await self._writes.run(self._opened.records.write(key, None, version))

    async def hold_record(self, key: str) -> bool:
        """See `TaskHub.hold_record`."""
        return await self._writes.run(self._opened.records.hold(key))

    async def release_record(self, key: str) -> None:
        """See `TaskHub.release_record`."""
        await self._writes.run(self._opened.records.release(key))

    # ---- inside ----------------------------------------------------------------------------

    def _partition_of(self, task: ActivityTask) -> int:
        return partition_of(task.instance_id, self._partition_count)

    @property
    def _opened(self) -> OpenHub:
        if self._open is None:
            state = "closed" if self._is_closed else "not open"
            raise StorageUnavailable(f"the task hub '{self.names.hub}' is {state}")
        return self._open

    async def _read(self, work: Coroutine[Any, Any, T]) -> T:
        with answers():
            return await work

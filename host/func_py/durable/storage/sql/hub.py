"""The task hub over SQL: the contract's verbs, handed to the writer thread or to a reader."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from func_py.durable.model import (
    ActivityTask,
    InstanceState,
    LongTimers,
    Message,
    RuntimeStatus,
    TimerTask,
    partition_of,
)
from func_py.durable.storage.base import (
    Capability,
    Committed,
    HistoryPage,
    HostRecord,
    HubInfo,
    InstancePage,
    InstanceQuery,
    Lease,
    Loaded,
    Lost,
    LostReason,
    Mail,
    Position,
    Record,
    Recovered,
    TaskKey,
    Turn,
    Unseen,
    Whereabouts,
)
from func_py.durable.storage.registry import DEFAULT_PAYLOAD_LIMIT
from func_py.durable.storage.sql.changes import (
    Change,
    CompleteChange,
    CreateChange,
    SendChange,
    Site,
    TurnChange,
    purge_instance,
)
from func_py.durable.storage.sql.connection import Connection, Dialect
from func_py.durable.storage.sql.ownership import News, Ownership
from func_py.durable.storage.sql.readers import Readers
from func_py.durable.storage.sql.reads import (
    decode_position,
    history_page,
    load,
    query_page,
    whole_activity,
    whole_mail,
)
from func_py.durable.storage.sql.rows import (
    HistoryPosition,
    holder_rows,
    host_rows,
    lease_rows,
    read_host,
    read_timer,
    timer_rows,
    to_micros,
)
from func_py.durable.storage.sql.writer import REFUSED_VALUES, Writer
from func_py.errors import (
    StorageError,
    StorageUnavailable,
)

T = TypeVar("T")

_CLOSE_TIMEOUT = timedelta(seconds=10)

_NUMBER_BITS = 32
"""Of the instances that one host creates; the bits above are its own number."""


class SqlTaskHub:
    """See `TaskHub`.

    Args:
        dialect: The database.
        name: The hub's name.
        partition_count: Of a hub that is created; what an existing one must have.
        poll_interval: How often an idle hub looks for messages that other processes stored.
        first_look: How soon after something happened, where nobody rings; the same by default.
        payload_limit: Characters of an input or result; longer ones are withheld (clause 32).
    """

    def __init__(
        self,
        dialect: Dialect,
        name: str,
        partition_count: int,
        poll_interval: timedelta = timedelta(seconds=1),
        first_look: timedelta | None = None,
        payload_limit: int = DEFAULT_PAYLOAD_LIMIT,
    ) -> None:
        self._dialect = dialect
        self._name = name
        self._partition_count = partition_count
        self._poll_interval = poll_interval
        self._first_look = poll_interval if first_look is None else first_look
        self._opened: Writer | None = None
        self._readers = Readers(dialect)
        self._mail: list[Mail] = []
        self._arrived = asyncio.Event()
        self._offered = asyncio.Event()
        self._hosts_changed = asyncio.Event()
        self._partition_of = functools.lru_cache(8192)(self._find_partition)
        self._payload_limit = payload_limit
        self._site = Site("", self._partition_of, lambda: 0, payload_limit)

    # ---- hub -------------------------------------------------------------------------------

    async def create_hub(self) -> None:
        """See `TaskHub.create_hub`."""
        await self._blocking(lambda: self._dialect.create(self._partition_count))

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        self._opened = Writer(
            self._dialect,
            host,
            self._partition_count,
            self._deliver,
            self._notice,
            self._poll_interval,
            self._first_look,
        )
        number = await self._opened.start()
        if self._dialect.bell is not None:
            asyncio.get_running_loop().add_reader(self._dialect.bell, self._rung)
        numbers = itertools.count(number << _NUMBER_BITS)
        self._site = Site(host.host_id, self._partition_of, numbers.__next__, self._payload_limit)
        return HubInfo(
            name=self._name,
            provider=self._dialect.provider,
            location=self._dialect.location,
            partition_count=self._partition_count,
            capabilities=frozenset({Capability.TRANSACTIONS}),
            payload_limit=self._payload_limit,
        )

    async def close(self) -> None:
        """See `TaskHub.close`."""
        self._take_bell_down()
        if self._opened is not None:
            await self._opened.close(_CLOSE_TIMEOUT)
        await self._readers.close()
        self._wake_all()

    async def die(self) -> None:
        """End as a killed process would, keeping leases and host record. For tests."""
        self._take_bell_down()
        if self._opened is not None:
            await self._opened.die()
        await self._readers.close()
        self._wake_all()

    async def delete_hub(self) -> None:
        """See `TaskHub.delete_hub`."""
        await self._blocking(self._dialect.delete)

    async def hosts(self) -> Sequence[HostRecord]:
        """See `TaskHub.hosts`."""
        return await self._readers.read(self._live_hosts)

    async def publish(self, functions: Sequence[str]) -> None:
        """See `TaskHub.publish`."""
        await self._writer.call(lambda c, o: o.publish(c, functions))

    async def watch_hosts(self, known: Sequence[HostRecord]) -> Sequence[HostRecord]:
        """See `TaskHub.watch_hosts`."""
        while True:
            is_told = self._hosts_changed.is_set()
            self._hosts_changed.clear()
            if self._writer.is_closed:
                raise StorageUnavailable(f"the task hub {self._dialect.location} is closed")
            hosts = await self.hosts()
            if is_told or list(hosts) != list(known):
                return hosts
            # Who dies tells nobody; whoever is alone need not look.
            patience_s = self._poll_interval.total_seconds() if len(hosts) > 1 else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._hosts_changed.wait()

    @property
    def long_timers(self) -> LongTimers | None:
        """See `TaskHub.long_timers`: timers are whole."""
        return None

    @property
    def is_overdue(self) -> bool:
        """See `TaskHub.is_overdue`."""
        return self._dialect.is_overdue

    async def renew(self) -> Sequence[Lease]:
        """See `TaskHub.renew`."""
        if self.is_overdue:
            # Whatever transaction comes next enters the hub again.
            await self._writer.call(lambda c, o: None)
        return await self._readers.read(self._own_leases)

    # ---- client ----------------------------------------------------------------------------

    async def create_instance(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """See `TaskHub.create_instance`."""
        await self._store(lambda: CreateChange(state, start, reusable, self._site))

    async def send(self, messages: Sequence[Message]) -> None:
        """See `TaskHub.send`."""
        await self._store(lambda: SendChange(messages, self._site))

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """See `TaskHub.get_instance`."""
        loaded = await self.load(instance_id, history=False)
        return None if loaded is None else loaded.state

    async def read_history(self, instance_id: str, after: Position | None = None) -> HistoryPage:
        """See `TaskHub.read_history`."""
        assert after is None or isinstance(after, HistoryPosition)
        return await self._readers.read(lambda c: history_page(c, instance_id, after))

    async def whereabouts(self, instance_id: str) -> Whereabouts:
        """See `TaskHub.whereabouts`."""
        partition = self._partition_of(instance_id)
        return await self._readers.read(lambda c: self._whereabouts(c, instance_id, partition))

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """See `TaskHub.query_instances`; raises UserError for a token that is none of ours."""
        after = decode_position(query.continuation)
        return await self._readers.read(lambda c: query_page(c, query, after))

    async def purge(self, instance_id: str) -> bool:
        """See `TaskHub.purge`."""
        return await self._writer.call(lambda c, _: purge_instance(c, instance_id))

    # ---- owner -----------------------------------------------------------------------------

    async def acquire(
        self, partitions: Collection[int], limit: int | None = None
    ) -> Sequence[Lease]:
        """See `TaskHub.acquire`."""
        acquired = self._writer.call(lambda c, o: o.acquire(c, partitions, limit))
        return await self._or_give_back(acquired, lambda c, o, leases: o.release(c, leases, ()))

    async def release(self, leases: Sequence[Lease], keep: Collection[TaskKey] = ()) -> None:
        """See `TaskHub.release`."""
        await self._writer.call(lambda c, o: o.release(c, leases, keep))

    async def recover(self, lease: Lease, timers_until: datetime) -> Recovered:
        """See `TaskHub.recover`."""
        return await self._writer.call(lambda c, o: o.recover(c, lease, timers_until))

    async def receive(self) -> Sequence[Mail]:
        """See `TaskHub.receive`."""
        while not self._mail:
            if self._writer.is_closed:
                raise StorageUnavailable(f"the task hub {self._dialect.location} is closed")
            self._arrived.clear()
            await self._arrived.wait()
        mail, self._mail = self._mail, []
        return mail

    async def read_mail(self, lease: Lease, message_id: str) -> Mail | None:
        """See `TaskHub.read_mail`."""
        return await self._readers.read(lambda c: whole_mail(c, lease, message_id))

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """See `TaskHub.timers`."""
        span = (to_micros(after), to_micros(until))

        def read(connection: Connection) -> list[TimerTask]:
            rows = connection.document(timer_rows, "timers", lease.partition, *span)
            return [read_timer(row) for row in rows]

        return await self._readers.read(read)

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """See `TaskHub.load`."""
        return await self._readers.read(lambda c: load(c, instance_id, history=history))

    def commit(self, turns: Sequence[Turn]) -> Awaitable[Sequence[Committed | Lost]]:
        """See `TaskHub.commit`."""
        answers: list[TurnChange | Lost] = []
        for turn in turns:
            try:
                answers.append(TurnChange(turn, self._site))
            except REFUSED_VALUES as error:
                answers.append(Lost(LostReason.REJECTED, f"{type(error).__name__}: {error}"))
        changes = [answer for answer in answers if isinstance(answer, TurnChange)]
        return self._writer.store(
            changes, lambda: [a.answer if isinstance(a, TurnChange) else a for a in answers]
        )

    async def offer_activities(self, activities: Collection[ActivityTask]) -> None:
        """See `TaskHub.offer_activities`."""
        await self._writer.call(lambda c, o: o.offer(c, activities))

    async def claim_activities(self, names: Collection[str], limit: int) -> Sequence[ActivityTask]:
        """See `TaskHub.claim_activities`."""
        while True:
            # Before looking: what is offered from now on is noticed.
            self._offered.clear()
            claiming = self._writer.call(lambda c, o: o.claim(c, names, limit))
            claimed = await self._or_give_back(claiming, lambda c, o, tasks: o.offer(c, tasks))
            if claimed:
                return claimed
            await self._offered.wait()

    async def read_activity(self, key: TaskKey) -> ActivityTask | None:
        """See `TaskHub.read_activity`."""
        return await self._readers.read(lambda c: whole_activity(c, key))

    async def complete_activity(self, key: TaskKey, result: Message) -> bool:
        """See `TaskHub.complete_activity`."""
        return await self._store(lambda: CompleteChange(key, result, self._site))

    async def take_back_activities(self, lease: Lease) -> Sequence[ActivityTask]:
        """See `TaskHub.take_back_activities`."""
        return await self._writer.call(lambda c, o: o.take_back(c, lease))

    async def unseen(self) -> Unseen:
        """See `TaskHub.unseen`: nothing is."""
        return Unseen(0, timedelta())

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """See `TaskHub.discard`."""
        await self._writer.call(lambda c, o: o.discard(c, lease, messages, activities))

    # ---- records ---------------------------------------------------------------------------

    async def read_record(self, key: str) -> Record | None:
        """See `TaskHub.read_record`."""
        row = await self._readers.read(lambda c: c.row("record", key))
        return None if row is None else Record(key, *row)

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """See `TaskHub.write_record`."""
        return await self._writer.call(lambda c, o: o.records.write(c, key, value, version))

    async def delete_record(self, key: str, version: int) -> bool:
        """See `TaskHub.delete_record`."""
        return await self._writer.call(lambda c, o: o.records.delete(c, key, version))

    async def hold_record(self, key: str) -> bool:
        """See `TaskHub.hold_record`."""
        return await self._writer.call(lambda c, o: o.records.hold(c, key))

    async def release_record(self, key: str) -> None:
        """See `TaskHub.release_record`."""
        await self._writer.call(lambda c, o: o.records.release(c, key))

    # ---- inside ----------------------------------------------------------------------------

    def _rung(self) -> None:
        """Another host has stored something for us: a transaction looks for it."""
        self._dialect.answer_bell()
        self._writer.look().add_done_callback(_retrieve)

    def _take_bell_down(self) -> None:
        # Before the writer's end, which closes the descriptor.
        if self._dialect.bell is not None:
            asyncio.get_running_loop().remove_reader(self._dialect.bell)

    def _wake_all(self) -> None:
        """Whoever waits finds the hub closed."""
        self._arrived.set()
        self._offered.set()
        self._hosts_changed.set()

    @property
    def _writer(self) -> Writer:
        if self._opened is None:
            raise StorageUnavailable(f"the task hub {self._dialect.location} is not open")
        return self._opened

    async def _blocking(self, function: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(function)
        except self._dialect.errors as error:
            raise self._dialect.translate(error) from error

    async def _store(self, prepare: Callable[[], Change]) -> bool:
        """Store one change; False when what it takes is missing. Raises what it was refused for."""
        try:
            change = prepare()
        except REFUSED_VALUES as error:
            raise StorageError(f"the value cannot be stored: {error}") from error
        await self._writer.store([change], lambda: None)
        if isinstance(change.outcome, Exception):
            raise change.outcome
        if not isinstance(change.outcome, Lost):
            return True
        if change.outcome.reason is LostReason.MISSING:
            return False
        raise StorageError(f"the task hub refused a value: {change.outcome.detail}")

    def _notice(self, news: News) -> None:
        if news.hosts:
            self._hosts_changed.set()
        if news.offers:
            self._offered.set()

    def _deliver(self, mail: Sequence[Mail]) -> None:
        self._mail += mail
        self._arrived.set()

    async def _or_give_back(
        self,
        taking: asyncio.Future[list[T]],
        give_back: Callable[[Connection, Ownership, list[T]], None],
    ) -> list[T]:
        """What is being taken; given back when the caller is gone and nobody would ever use it."""

        def undo(taking: asyncio.Future[list[T]]) -> None:
            if taking.cancelled() or taking.exception() is not None or not taking.result():
                return
            if not self._writer.is_closed:
                given = self._writer.call(lambda c, o: give_back(c, o, taking.result()))
                given.add_done_callback(_retrieve)

        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(undo)
            raise

    def _find_partition(self, instance_id: str) -> int:
        if "\0" in instance_id:
            raise ValueError("an instance id must not contain NUL characters")
        return partition_of(instance_id, self._partition_count)

    def _own_leases(self, connection: Connection) -> list[Lease]:
        rows = connection.document(lease_rows, "held_partitions", self._site.host_id)
        return [Lease(partition, epoch) for partition, epoch in rows]

    def _whereabouts(self, connection: Connection, instance_id: str, partition: int) -> Whereabouts:
        lease = connection.row("lease", partition)
        owner = lease[0] if lease is not None else None
        holders = connection.document(holder_rows, "activity_holders", instance_id)
        calls = dict(holders)
        if owner is None or not self._dialect.is_alive(connection, owner):
            return Whereabouts(activities=calls)
        until = self._dialect.alive_until(connection, owner)
        return Whereabouts(owner=owner, owner_until=until, activities=calls)

    def _live_hosts(self, connection: Connection) -> list[HostRecord]:
        rows = connection.document(host_rows, "hosts")
        return [read_host(row) for row in rows if self._dialect.is_alive(connection, row[0])]


def _retrieve(future: asyncio.Future[T]) -> None:
    """Nobody waits for it; what went wrong shows itself in the next operation."""
    if not future.cancelled():
        future.exception()

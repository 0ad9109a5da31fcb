"""The task hub over SQL: the contract's verbs, handed to the writer thread or to a reader."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    TimerTask,
    partition_of,
)
from func_py.durable.storage.base import (
    Capability,
    Committed,
    HostRecord,
    HubInfo,
    InstancePage,
    InstanceQuery,
    Lease,
    Loaded,
    Lost,
    LostReason,
    Mail,
    Recovered,
    TaskKey,
    Turn,
)
from func_py.durable.storage.sql.changes import (
    Change,
    CreateChange,
    SendChange,
    TurnChange,
    delete_instance,
)
from func_py.durable.storage.sql.connection import Connection, Dialect
from func_py.durable.storage.sql.readers import Readers
from func_py.durable.storage.sql.rows import (
    InstanceRow,
    encode_text,
    host_rows,
    instance_rows,
    read_history,
    read_host,
    read_instance,
    read_timer,
    text_rows,
    timer_rows,
    to_micros,
)
from func_py.durable.storage.sql.writer import REFUSED_VALUES, Writer
from func_py.errors import (
    InstanceNotFinished,
    StorageError,
    StorageUnavailable,
    UserError,
)

_CLOSE_TIMEOUT = timedelta(seconds=10)

_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))

_position = msgspec.json.Decoder(tuple[int, str])


class SqlTaskHub:
    """See `TaskHub`.

    Args:
        dialect: The database.
        name: The hub's name.
        partition_count: Of a hub that is created; what an existing one must have.
        poll_interval: How often an idle hub looks for messages that other processes stored.
    """

    def __init__(
        self,
        dialect: Dialect,
        name: str,
        partition_count: int,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> None:
        self._dialect = dialect
        self._name = name
        self._partition_count = partition_count
        self._poll_interval = poll_interval
        self._opened: Writer | None = None
        self._readers = Readers(dialect)
        self._host_id = ""
        self._mail: list[Mail] = []
        self._arrived = asyncio.Event()
        self._partition_of = functools.lru_cache(8192)(self._find_partition)

    # ---- hub -------------------------------------------------------------------------------

    async def create_hub(self) -> None:
        """See `TaskHub.create_hub`."""
        await self._blocking(lambda: self._dialect.create(self._partition_count))

    async def open(self, host: HostRecord) -> HubInfo:
        """See `TaskHub.open`."""
        self._host_id = host.host_id
        self._opened = Writer(
            self._dialect, host, self._partition_count, self._deliver, self._poll_interval
        )
        await self._opened.start()
        return HubInfo(
            name=self._name,
            provider=self._dialect.provider,
            location=self._dialect.location,
            partition_count=self._partition_count,
            capabilities=frozenset({Capability.TRANSACTIONS}),
        )

    async def close(self) -> None:
        """See `TaskHub.close`."""
        if self._opened is not None:
            await self._opened.close(_CLOSE_TIMEOUT)
        await self._readers.close()
        self._arrived.set()

    async def die(self) -> None:
        """End as a killed process would, keeping leases and host record. For tests."""
        if self._opened is not None:
            await self._opened.die()
        await self._readers.close()
        self._arrived.set()

    async def delete_hub(self) -> None:
        """See `TaskHub.delete_hub`."""
        await self._blocking(self._dialect.delete)

    async def hosts(self) -> Sequence[HostRecord]:
        """See `TaskHub.hosts`."""
        return await self._readers.read(self._live_hosts)

    # ---- client ----------------------------------------------------------------------------

    async def create_instance(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """See `TaskHub.create_instance`."""
        await self._store(lambda: CreateChange(state, start, reusable, self._partition_of))

    async def send(self, messages: Sequence[Message]) -> None:
        """See `TaskHub.send`."""
        await self._store(lambda: SendChange(messages, self._partition_of))

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """See `TaskHub.get_instance`."""
        loaded = await self.load(instance_id, history=False)
        return None if loaded is None else loaded.state

    async def get_history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """See `TaskHub.get_history`."""
        return await self._readers.read(lambda c: _history(c, instance_id))

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """See `TaskHub.query_instances`; raises UserError for a token that is none of ours."""
        after = _decode_position(query.continuation)
        return await self._readers.read(lambda c: _query(c, query, after))

    async def purge(self, instance_id: str) -> bool:
        """See `TaskHub.purge`."""
        return await self._writer.call(lambda c, _: _purge(c, instance_id))

    # ---- owner -----------------------------------------------------------------------------

    async def acquire(self, partitions: Collection[int]) -> Sequence[Lease]:
        """See `TaskHub.acquire`."""
        acquired = self._writer.call(lambda c, o: o.acquire(c, partitions))
        try:
            return await asyncio.shield(acquired)
        except asyncio.CancelledError:
            # Nobody would ever use or release what was acquired for a caller that is gone.
            acquired.add_done_callback(self._give_back)
            raise

    async def release(self, leases: Sequence[Lease]) -> None:
        """See `TaskHub.release`."""
        await self._writer.call(lambda c, o: o.release(c, leases))

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

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """See `TaskHub.timers`."""
        span = (to_micros(after), to_micros(until))

        def read(connection: Connection) -> list[TimerTask]:
            rows = connection.document(timer_rows, "timers", lease.partition, *span)
            return [read_timer(row) for row in rows]

        return await self._readers.read(read)

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """See `TaskHub.load`."""
        return await self._readers.read(lambda c: _load(c, instance_id, history))

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """See `TaskHub.commit`."""
        answers: list[TurnChange | Lost] = []
        for turn in turns:
            try:
                answers.append(TurnChange(turn, self._host_id, self._partition_of))
            except REFUSED_VALUES as error:
                answers.append(Lost(LostReason.REJECTED, f"{type(error).__name__}: {error}"))
        changes = [answer for answer in answers if isinstance(answer, TurnChange)]
        if changes:
            await self._writer.store(changes)
        return [a.answer if isinstance(a, TurnChange) else a for a in answers]

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """See `TaskHub.discard`."""
        await self._writer.call(lambda c, o: o.discard(c, lease, messages, activities))

    # ---- inside ----------------------------------------------------------------------------

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

    async def _store(self, prepare: Callable[[], Change]) -> None:
        """Store one change; raises what it was refused for."""
        try:
            change = prepare()
        except REFUSED_VALUES as error:
            raise StorageError(f"the value cannot be stored: {error}") from error
        await self._writer.store([change])
        if isinstance(change.outcome, Exception):
            raise change.outcome
        if isinstance(change.outcome, Lost):
            raise StorageError(f"the task hub refused a value: {change.outcome.detail}")

    def _deliver(self, mail: Sequence[Mail]) -> None:
        self._mail += mail
        self._arrived.set()

    def _give_back(self, acquired: asyncio.Future[list[Lease]]) -> None:
        if acquired.cancelled() or acquired.exception() is not None or not acquired.result():
            return
        leases = acquired.result()
        if not self._writer.is_closed:
            released = self._writer.call(lambda c, o: o.release(c, leases))
            released.add_done_callback(lambda f: f.cancelled() or f.exception())

    def _find_partition(self, instance_id: str) -> int:
        if "\0" in instance_id:
            raise ValueError("an instance id must not contain NUL characters")
        return partition_of(instance_id, self._partition_count)

    def _live_hosts(self, connection: Connection) -> list[HostRecord]:
        rows = connection.document(host_rows, "hosts")
        return [read_host(row) for row in rows if self._dialect.is_alive(row[0])]


def _load(connection: Connection, instance_id: str, history: bool) -> Loaded | None:
    row = connection.row("instance_with_history" if history else "instance", instance_id)
    if row is None:
        return None
    state, token = read_instance(row[:8])
    events = read_history(text_rows.decode(row[8])) if history else []
    return Loaded(state, token, events)


def _history(connection: Connection, instance_id: str) -> list[HistoryEvent]:
    bodies = connection.document(text_rows, "history", instance_id)
    return read_history(bodies)


def _purge(connection: Connection, instance_id: str) -> bool:
    found = connection.row("instance_status", instance_id)
    if found is None:
        return False
    if not RuntimeStatus(found[1]).is_terminal:
        raise InstanceNotFinished(instance_id, found[1])
    delete_instance(connection, instance_id)
    return True


def _query(
    connection: Connection, query: InstanceQuery, after: tuple[int, str] | None
) -> InstancePage:
    created_from = _FIRST if query.created_from is None else to_micros(query.created_from)
    created_to = _LAST if query.created_to is None else to_micros(query.created_to)
    after_time, after_id = after if after is not None else (_FIRST, "")
    rows = connection.document(
        instance_rows,
        "query_instances",
        query.prefix.startswith("@"),
        max(created_from, after_time),
        created_to,
        after_time,
        after_id,
        query.prefix,
        encode_text(sorted(query.statuses)) if query.statuses else "",
        query.page_size + 1,
    )
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    return InstancePage(
        items=[read_instance(row)[0] for row in rows],
        continuation=_encode_position(rows[-1]) if more else "",
    )


def _encode_position(row: InstanceRow) -> str:
    return base64.urlsafe_b64encode(encode_text((row[4], row[0])).encode()).decode()


def _decode_position(continuation: str) -> tuple[int, str] | None:
    """Creation time and id of the last item given; None at the beginning."""
    if not continuation:
        return None
    try:
        return _position.decode(base64.urlsafe_b64decode(continuation))
    except ValueError as error:
        raise UserError("The continuation token is not one that this task hub gave.") from error

"""The one writer of a hub: a thread that stores everything, many operations per transaction.

Operations that arrive while a transaction runs go together into the next one. Results and mail are
handed to the event loop after the commit returned, in one call per transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar, TypeVarTuple, Unpack

import msgspec

from func_py.durable.storage.base import HostRecord, Lost, LostReason, Mail
from func_py.durable.storage.sql.changes import Batch, Change, Missed
from func_py.durable.storage.sql.connection import CommitInDoubt, Connection, Dialect
from func_py.durable.storage.sql.ownership import News, Ownership
from func_py.errors import FuncPyError, StorageError, StorageUnavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REFUSED_VALUES = (msgspec.EncodeError, UnicodeEncodeError, OverflowError, TypeError, ValueError)
"""What preparing a value raises, before any driver has seen it."""


_DOUBT_POLL_S = 0.1
"""How often an idle writer asks for the fate of its last transaction."""


class Operation(Generic[T]):
    """Something to be written, and the future of whoever waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[T] = loop.create_future()
        self.error: Exception | None = None

    def answer(self) -> T:
        """What the future gives when there is no error."""
        raise NotImplementedError


class ChangesOperation(Operation[T]):
    """Changes that share a transaction with those of other operations."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, changes: Sequence[Change], answer: Callable[[], T]
    ) -> None:
        super().__init__(loop)
        self.changes = changes
        self._answer = answer

    def answer(self) -> T:
        """See `Operation.answer`."""
        return self._answer()


class CallOperation(Operation[T]):
    """A function of the transaction; what it raises undoes it and nothing else."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: Callable[[Connection, Ownership], T]
    ) -> None:
        super().__init__(loop)
        self._call = call
        self._result: T

    def call(self, connection: Connection, ownership: Ownership) -> None:
        """Call the function."""
        self._result = self._call(connection, ownership)

    def answer(self) -> T:
        """See `Operation.answer`."""
        return self._result


class Doubt(NamedTuple):
    """A transaction of which nobody knows whether it was committed, until the store answers."""

    group: Sequence[Operation[object]]
    mail: Sequence[Mail]
    held_before: dict[int, int]
    was_committed: Callable[[], bool]


class Writer:
    """Owns the writing connection and the thread it is used in.

    Args:
        dialect: The database.
        host: This host; it enters the hub when the writer starts.
        partition_count: What the hub must have.
        deliver: Called on the loop with the mail of a transaction.
        notice: Called on the loop with what others have changed.
        poll_interval: How often an idle writer looks for what other processes stored.
        first_look: How soon after something happened it looks; then less and less often.
    """

    def __init__(
        self,
        dialect: Dialect,
        host: HostRecord,
        partition_count: int,
        deliver: Callable[[Sequence[Mail]], None],
        notice: Callable[[News], None],
        poll_interval: timedelta,
        first_look: timedelta,
    ) -> None:
        self._dialect = dialect
        self._refused: tuple[type[Exception], ...] = (*REFUSED_VALUES, *dialect.refused)
        self._undone: tuple[type[Exception], ...] = (
            Missed,
            *self._refused,
            *dialect.collided,
        )
        self._unfit: tuple[type[Exception], ...] = (UnicodeEncodeError, *dialect.refused)
        self._host = host
        self._partition_count = partition_count
        self._deliver = deliver
        self._notice = notice
        self._poll_s = poll_interval.total_seconds()
        self._first_look_s = first_look.total_seconds()
        self._pause_s = self._first_look_s
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[list[Operation[object]] | None] = queue.SimpleQueue()
        self._outbox: list[Operation[object]] = []
        """Submitted in this iteration of the loop. The thread gets them together, else it would
        begin with the first alone. Measured under load: half as many transactions."""
        self._ownership = Ownership(dialect, host.host_id)
        # Others may have stored what we have not seen; stays set until a transaction has looked.
        self._look = True
        self._news = News()
        self._doubt: Doubt | None = None
        self._closed = False
        self._departing = False
        self._thread = threading.Thread(
            target=self._run, name=f"func-py storage {dialect.location}", daemon=True
        )
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> int:
        """Connect and enter the hub; this host's number. Raises what that raises."""
        entered = self.call(lambda c, o: o.enter(c, self._host, self._partition_count))
        self._thread.start()
        try:
            return await entered
        except BaseException:
            self._stop()
            raise

    @property
    def is_closed(self) -> bool:
        """Nothing is accepted any more."""
        return self._closed

    def store(self, changes: Sequence[Change], answer: Callable[[], T]) -> asyncio.Future[T]:
        """Store changes; each has its outcome when `answer` is called for what this gives.

        Raises:
            StorageUnavailable: At once when the writer is closed.
        """
        return self._submit(ChangesOperation(self._loop, changes, answer))

    def call(self, call: Callable[[Connection, Ownership], T]) -> asyncio.Future[T]:
        """Call a function in a transaction, in the writer's thread."""
        return self._submit(CallOperation(self._loop, call))

    def look(self) -> asyncio.Future[None]:
        """Look for what others stored."""
        return self.store([], lambda: None)

    async def close(self, patience: timedelta) -> None:
        """Leave the hub after what is under way, and end the thread. Idempotent, bounded."""
        if not self._closed:
            left = self.call(lambda c, o: o.leave(c))
            left.add_done_callback(_retrieve)
            self._departing = True
            self._stop()
        # Another process that was stopped inside a transaction may keep us waiting.
        await asyncio.wait([self._ended], timeout=patience.total_seconds())

    async def die(self) -> None:
        """End the thread without leaving the hub, as a killed process would."""
        if not self._closed:
            self._stop()
        await self._ended

    def _stop(self) -> None:
        self._closed = True
        self._hand_out()
        self._inbox.put(None)

    def _submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        if self._closed:
            raise self._unavailable()
        self._outbox.append(operation)  # type: ignore[arg-type]
        if len(self._outbox) == 1:
            self._loop.call_soon(self._hand_out)
        return operation.future

    def _hand_out(self) -> None:
        if self._outbox:
            self._inbox.put(self._outbox)
            self._outbox = []

    # ---- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        connection = None
        try:
            try:
                connection = self._dialect.connect()
            except Exception as error:  # noqa: BLE001 - handed to whoever opens the hub
                first = self._inbox.get() or []
                for operation in first:
                    operation.error = self._translated(error)
                self._hand_over(first, [])
                return
            self._serve(connection)
        finally:
            if connection is not None:
                connection.close()
            self._give_up_doubt()
            if self._departing:
                self._dialect.forget(self._host.host_id)
            self._dialect.leave(self._host.host_id)
            self._on_loop(self._end)

    def _serve(self, connection: Connection) -> None:
        while True:
            try:
                operations, ending = self._collect()
            except queue.Empty:
                self._pause_s = min(self._pause_s * 2, self._poll_s)
                self._poll(connection)
                continue
            self._pause_s = self._first_look_s
            group = [o for o in operations if not o.future.cancelled()]
            if group:
                self._store(connection, group)
            if ending:
                return

    def _collect(self) -> tuple[list[Operation[object]], bool]:
        """Everything that waits, and whether it was the last; raises queue.Empty when nothing comes
        for a poll interval."""
        patience_s = self._pause_s if self._doubt is None else min(self._pause_s, _DOUBT_POLL_S)
        operations: list[Operation[object]] = []
        more = self._inbox.get(timeout=patience_s)
        while more is not None:
            operations += more
            if self._inbox.empty():
                return operations, False
            more = self._inbox.get()
        return operations, True

    def _poll(self, connection: Connection) -> None:
        """Look for what others stored. An error shows itself in the next operation."""
        with contextlib.suppress(*self._dialect.errors):
            self._settle_doubt()
            self._look |= self._dialect.others_committed(connection)
            if self._look:
                self._pause_s = self._first_look_s
                self._store(connection, [])

    def _store(self, connection: Connection, group: Sequence[Operation[object]]) -> None:
        """Store a group in one transaction, and hand over results and mail."""
        held = dict(self._ownership.held)
        mail: list[Mail] = []
        try:
            self._settle_doubt()
            self._transact_group(connection, group, mail)
        except CommitInDoubt as doubt:
            self._doubt = Doubt(group, mail, held, doubt.was_committed)
        except Exception as error:  # noqa: BLE001 - handed to everybody in the group
            self._fail(group, error, held)
        else:
            self._succeed(group, mail)
            for host_id in self._ownership.concerned:
                self._dialect.ring(connection, host_id)

    def _settle_doubt(self) -> None:
        """Find out what became of the last transaction; raises while the store does not answer."""
        if self._doubt is None:
            return
        was_committed = self._doubt.was_committed()
        doubt, self._doubt = self._doubt, None
        if was_committed:
            # Whom it concerns looks by itself after an outage.
            self._succeed(doubt.group, doubt.mail)
        else:
            self._fail(doubt.group, self._unanswered(), doubt.held_before)

    def _give_up_doubt(self) -> None:
        if self._doubt is not None:
            self._fail(self._doubt.group, self._unanswered(), self._doubt.held_before)

    def _succeed(self, group: Sequence[Operation[object]], mail: Sequence[Mail]) -> None:
        if any(self._news):
            news, self._news = self._news, News()
            self._on_loop(self._notice, news)
        self._look = False
        self._hand_over(group, mail)

    def _fail(
        self, group: Sequence[Operation[object]], error: Exception, held: dict[int, int]
    ) -> None:
        self._ownership.held = held
        self._ownership.concerned.clear()
        for operation in group:
            operation.error = self._translated(error)
        self._hand_over(group, [])

    def _transact_group(
        self, connection: Connection, group: Sequence[Operation[object]], mail: list[Mail]
    ) -> None:
        changes = [c for o in group if isinstance(o, ChangesOperation) for c in o.changes]
        together = _together(changes)
        try:
            self._transact(connection, group, changes, together, mail)
        except self._undone:
            if together is None:
                raise
            # Found out before any call: only the batch has to be repeated, one by one.
            self._transact(connection, group, changes, None, mail)

    def _transact(
        self,
        connection: Connection,
        group: Sequence[Operation[object]],
        changes: Sequence[Change],
        together: Batch | None,
        mail: list[Mail],
    ) -> None:
        """One transaction: the changes in one batch or, without it, one by one; then the calls.

        `mail` is what it delivers when it is committed.
        """
        partitions = {posted.partition for change in changes for posted in change.messages}
        # A batch only inserts, or hits every row it means. What reads and then writes is alone.
        calls = [o for o in group if isinstance(o, CallOperation)]
        shared = not calls and (together is not None or not changes)
        mail.clear()
        self._ownership.concerned.clear()
        with self._dialect.transaction(connection, shared=shared):
            # First what others stored earlier, or our own message would overtake it.
            self._look |= self._dialect.others_committed(connection)
            if self._look:
                self._news |= self._ownership.look(connection)
                mail += self._ownership.take_mail(connection)
            if together is not None:
                ends = not calls and partitions <= self._ownership.held.keys()
                together.store(connection, self._ownership.held, mail, ends=ends)
            else:
                for change in changes:
                    self._store_alone(connection, change, mail)
            for operation in calls:
                self._call(connection, operation)
            self._ownership.tell_owners(connection, partitions - self._ownership.held.keys())

    def _store_alone(self, connection: Connection, change: Change, mail: list[Mail]) -> None:
        connection.execute("begin_change")
        try:
            change.clear_way(connection)
            Batch([change], alone=True).store(connection, self._ownership.held, mail)
        except Missed as missed:
            change.missed(missed.reason)
        except FuncPyError as error:
            change.outcome = error
        except self._refused as error:
            change.outcome = Lost(LostReason.REJECTED, f"{type(error).__name__}: {error}")
        else:
            connection.execute("end_change")
            return
        connection.execute("undo_change")
        connection.execute("end_change")

    def _call(self, connection: Connection, operation: CallOperation[object]) -> None:
        connection.execute("begin_change")
        try:
            operation.call(connection, self._ownership)
        except Exception as error:
            if isinstance(error, self._dialect.errors) and not isinstance(error, self._refused):
                raise
            operation.error = self._refusal(error)
            connection.execute("undo_change")
        connection.execute("end_change")

    def _refusal(self, error: Exception) -> Exception:
        """What a call is answered with: the driver's word for an unfit value is translated."""
        if not isinstance(error, self._unfit):
            return error
        refusal = StorageError(f"the value cannot be stored: {error}")
        refusal.__cause__ = error
        return refusal

    def _translated(self, error: Exception) -> Exception:
        translated = self._dialect.translate(error)
        if translated is not error:
            translated.__cause__ = error
        return translated

    # ---- back on the loop ------------------------------------------------------------------

    def _hand_over(self, group: Sequence[Operation[object]], mail: Sequence[Mail]) -> None:
        self._on_loop(self._resolve, group, mail)

    def _on_loop(self, callback: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        # The loop may be gone when the process ends without closing the hub.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _resolve(self, group: Sequence[Operation[object]], mail: Sequence[Mail]) -> None:
        for operation in group:
            if operation.future.done():
                continue
            if operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.answer())
        if mail:
            self._deliver(mail)

    def _end(self) -> None:
        """The thread is gone, asked to or not: nobody may wait for it any more."""
        self._closed = True
        self._hand_out()
        with contextlib.suppress(queue.Empty):
            while True:
                for operation in self._inbox.get_nowait() or ():
                    if not operation.future.done():
                        operation.future.set_exception(self._unavailable())
        if not self._ended.done():
            self._ended.set_result(None)

    def _unanswered(self) -> StorageUnavailable:
        return StorageUnavailable(f"the task hub {self._dialect.location} did not answer")

    def _unavailable(self) -> StorageUnavailable:
        return StorageUnavailable(f"the task hub {self._dialect.location} is closed")


def _together(changes: Sequence[Change]) -> Batch | None:
    """One batch for all the changes, or None when one of them holds a value that has no form."""
    if not changes:
        return None
    try:
        return Batch(changes)
    except REFUSED_VALUES:
        return None


def _retrieve(future: asyncio.Future[None]) -> None:
    """Leaving is best effort: a host that could not say goodbye is found dead by the others."""
    if not future.cancelled():
        future.exception()

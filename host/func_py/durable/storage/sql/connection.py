"""A database connection that executes named queries, and what else a dialect provides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from func_py.durable.storage.base import HostRecord
from func_py.durable.storage.sql.queries import Query, Row

T = TypeVar("T")


class Step(NamedTuple):
    """A query on many rows; `is_exact`: each of them must be hit."""

    name: str
    rows: Sequence[Row]
    is_exact: bool


class CommitInDoubt(Exception):
    """The connection was lost while the store committed.

    `was_committed` connects again and asks; it raises what the driver raises while nobody answers.
    """

    def __init__(self, was_committed: Callable[[], bool]) -> None:
        self.was_committed = was_committed


class Cursor(Protocol):
    """The part of a DB-API cursor that is used."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...


class RawConnection(Protocol):
    """The part of a driver's connection that is used."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Cursor: ...

    def close(self) -> None: ...


class Connection:
    """Executes the queries of one dialect. Used by one thread at a time."""

    def __init__(self, raw: RawConnection, queries: Mapping[str, Query]) -> None:
        self.raw = raw
        self._queries = queries

    def execute(self, name: str, *values: object) -> int:
        """Execute a query; the number of rows it changed."""
        return self.raw.execute(self._queries[name].text, values).rowcount

    def execute_rows(self, name: str, rows: Sequence[Row]) -> int:
        """Execute a query on many rows; the number of rows it changed, or counts, altogether."""
        execute = self.raw.execute
        if len(rows) == 1:
            return _hits(execute(self._queries[name].single, rows[0]))
        return sum(_hits(execute(*chunk)) for chunk in self._queries[name].chunks(rows))

    def execute_all(self, steps: Sequence[Step], *, ends: bool) -> Iterator[int]:
        """Execute queries on many rows, in order; for each the number of rows it changed.

        Whoever stops asking undoes the transaction: later steps may have been executed, too. With
        `ends` nothing follows in the transaction. Then it may be committed by this when every
        exact step has hit all its rows, and otherwise raises what the driver has for a refusal.
        """
        for name, rows, _ in steps:
            yield self.execute_rows(name, rows)

    def row(self, name: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        found: tuple[Any, ...] | None = self.raw.execute(
            self._queries[name].text, values
        ).fetchone()
        return found

    def document(self, decoder: msgspec.json.Decoder[T], name: str, *values: object) -> T:
        """The rows of a query that answers with one JSON document."""
        row = self.row(name, *values)
        assert row is not None
        return decoder.decode(row[0])

    @property
    def is_lost(self) -> bool:
        """The database has gone away from this connection."""
        return False

    def close(self) -> None:
        """Close; what was not committed is undone."""
        self.raw.close()


def _hits(cursor: Cursor) -> int:
    changed = cursor.rowcount
    if changed >= 0:
        return changed
    (counted,) = cursor.fetchone()
    assert isinstance(counted, int)
    return counted


class Dialect(Protocol):
    """One kind of database: how to connect, lock, and tell who is alive."""

    provider: str
    """Name of the provider, as in `storageProvider.type`."""

    @property
    def location(self) -> str:
        """Where the hub is, for people."""
        ...

    errors: tuple[type[Exception], ...]
    """What the driver raises."""

    refused: tuple[type[Exception], ...]
    """What the driver raises for a value or row it will not store, however often it is tried."""

    collided: tuple[type[Exception], ...]
    """What the driver raises when a shared transaction met another one; it may be repeated."""

    def create(self, partition_count: int) -> None:
        """Create the hub, or bring its schema up to date. Blocking. Contract: 20."""
        ...

    def delete(self) -> None:
        """Delete the hub; raises UserError when a live host has it open. Blocking."""
        ...

    def connect(self) -> Connection:
        """A connection for the one writer; raises SchemaMismatch when the hub does not fit."""
        ...

    def connect_reader(self) -> Connection:
        """A connection that only reads; each of its queries sees one consistent view."""
        ...

    def transaction(self, connection: Connection, *, shared: bool) -> AbstractContextManager[None]:
        """A write transaction, undone when the body raises; may raise CommitInDoubt.

        Args:
            connection: The writer's.
            shared: Other hosts may be in shared transactions meanwhile, where the database can do
                that. Otherwise nobody else writes to the hub.
        """
        ...

    def others_committed(self, connection: Connection) -> bool:
        """May another host have written what concerns us, since this was last asked?"""
        ...

    def stir(self, connection: Connection) -> tuple[object, object]:
        """Called when others may have written: two values that have not been before.

        The first is another one when hosts entered, left or published, or a partition became free.
        The second is another one when activities were offered, and false while none are.
        """
        ...

    def translate(self, error: Exception) -> Exception:
        """The error of our tree for one of the driver's, to be raised from it."""
        ...

    @property
    def boot_id(self) -> str:
        """Names the running kernel; empty when that does not matter or is not known."""
        ...

    def host_row(self, host: HostRecord) -> Row:
        """Values for `insert_host`."""
        ...

    def enter(self, host: HostRecord) -> None:
        """Begin to be seen as alive by the other hosts."""
        ...

    def publish(self, functions: Sequence[str]) -> None:
        """This host will have these functions, should it have to enter again."""
        ...

    @property
    def is_overdue(self) -> bool:
        """May the others take this host for dead? Asked in any thread, often."""
        ...

    @property
    def bell(self) -> int | None:
        """A descriptor that is readable when another host has rung for this one; None without."""
        ...

    def answer_bell(self) -> None:
        """Make the bell's descriptor unreadable until it is rung again."""
        ...

    def ring(self, connection: Connection, host_id: str) -> None:
        """Have another host look at what is stored now; best effort, outside of transactions."""
        ...

    def leave(self, host_id: str) -> None:
        """Be seen as dead from now on; idempotent."""
        ...

    def is_alive(self, connection: Connection, host_id: str) -> bool:
        """Does this host still live? Cheap."""
        ...

    def alive_until(self, connection: Connection, host_id: str) -> datetime | None:
        """When a host that lives is taken for dead unless it gives a sign of life; None: at once
        when it dies, or there is no such host."""
        ...

    def forget(self, host_id: str) -> None:
        """Remove what a host that is dead or leaves has outside the database."""
        ...

"""A connection to PostgreSQL: rows travel as arrays, steps in one pipeline, lost ones come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import psycopg

from func_py.durable.faults import reach
from func_py.durable.storage.sql.connection import Connection, Step
from func_py.durable.storage.sql.postgres.arrays import plain_array, text_array
from func_py.durable.storage.sql.queries import Query, Row
from func_py.durable.storage.sql.revival import Revival

Raw: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_IMPATIENT = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""So that a server that vanished is noticed. What the connection string says wins."""

_PREPARED = 512

_SESSION = """
select set_config('search_path', quote_ident($1), false),
       set_config('timezone', 'UTC', false),
       set_config('jit', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('default_transaction_read_only', $2, false),
       set_config('synchronous_commit',
                  case current_setting('synchronous_commit') when 'off' then 'on'
                  else current_setting('synchronous_commit') end, false)
"""


def open_session(parameters: Mapping[str, Any], schema: str, *, read_only: bool = False) -> Raw:
    """Connect, whatever the server's defaults are.

    Args:
        parameters: Of libpq, by name.
        schema: Where unqualified names are looked up.
        read_only: Refuse to write.

    Raises:
        psycopg.Error: The server does not answer, or refuses.
    """
    raw = psycopg.connect(
        **{**_IMPATIENT, "application_name": "func-py", **parameters},
        client_encoding="utf8",
        autocommit=True,
        cursor_factory=psycopg.RawCursor,
    )
    raw.prepared_max = _PREPARED
    try:
        raw.execute(_SESSION, (schema, "on" if read_only else "off"))
    except BaseException:
        raw.close()
        raise
    return raw


class PostgresConnection(Connection):
    """Executes the queries on one hub.

    Args:
        connect: Makes a session.
        queries: Of the dialect.
        hub: The hub's number, 0 while it is not known.
    """

    raw: Raw

    def __init__(self, connect: Callable[[], Raw], queries: Mapping[str, Query], hub: int) -> None:
        super().__init__(connect(), queries)
        self._revival = Revival(connect, (psycopg.Error,))
        self._texts = {name: _text(query, hub) for name, query in queries.items()}
        self._exact = {name: _exact(query, self._texts[name]) for name, query in queries.items()}
        self._dumps = {name: _dumps(query) for name, query in queries.items()}
        self.has_ended = False
        """The commit of the transaction was sent."""

    def execute(self, name: str, *values: object) -> int:
        """See `Connection.execute`."""
        return self.raw.execute(self._texts[name], values).rowcount

    def execute_rows(self, name: str, rows: Sequence[Row]) -> int:
        """See `Connection.execute_rows`."""
        return self._send_rows(self._texts[name], name, rows).rowcount if rows else 0

    def execute_all(self, steps: Sequence[Step], *, ends: bool) -> Iterator[int]:
        """See `Connection.execute_all`; everything is sent at once."""
        if ends:
            yield from self._commit_all(steps)
            return
        cursors: list[psycopg.Cursor[tuple[Any, ...]]] = []
        failure: psycopg.Error | None = None
        try:
            with self.raw.pipeline():
                cursors += [self._send_rows(self._texts[s.name], s.name, s.rows) for s in steps]
        except psycopg.Error as error:
            failure = error
        for cursor in cursors:
            if failure is not None and cursor.rowcount < 0:
                break
            yield cursor.rowcount
        if failure is not None:
            raise failure

    def _commit_all(self, steps: Sequence[Step]) -> Iterator[int]:
        """The commit goes along, which saves a round trip: the server judges what was hit."""
        reach("store.before_commit")
        self.has_ended = True
        with self.raw.pipeline():
            for name, rows, is_exact in steps:
                texts = self._exact if is_exact else self._texts
                self._send_rows(texts[name], name, rows)
            self.raw.execute("commit")
        for step in steps:
            yield len(step.rows)

    def commit(self) -> None:
        """Commit the transaction, where `execute_all` has not."""
        self.has_ended = True
        self.raw.execute("commit")

    def row(self, name: str, *values: object) -> tuple[Any, ...] | None:
        """See `Connection.row`."""
        return self.raw.execute(self._texts[name], values).fetchone()

    def begin(self, *calls: tuple[str, Sequence[object]]) -> list[tuple[Any, ...]]:
        """Begin a transaction, and execute queries with one row each; all in one round trip."""
        self.has_ended = False
        with self.raw.pipeline():
            self.raw.execute("begin")
            cursors = [self.raw.execute(self._texts[name], values) for name, values in calls]
        rows = [cursor.fetchone() for cursor in cursors]
        return [row for row in rows if row is not None]

    @property
    def is_lost(self) -> bool:
        """See `Connection.is_lost`."""
        return self.raw.closed

    def is_over(self, error: BaseException) -> bool:
        """Has this error ended the session? It may be told before the end is seen.

        What the server says of a statement has a state; without one it is the driver that speaks,
        of a connection that is of no use any more.
        """
        if isinstance(error, psycopg.OperationalError) and (
            error.sqlstate is None or error.diag.severity_nonlocalized in ("FATAL", "PANIC")
        ):
            self.raw.close()
        return self.raw.closed

    def revive(self) -> None:
        """Connect again when the connection was lost; raises psycopg.Error.

        Between attempts is a growing pause, in which this raises what the last one did.
        """
        if self.raw.closed:
            self.raw = self._revival.attempt()

    def _send_rows(
        self, text: str, name: str, rows: Sequence[Row]
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        columns = zip(*rows, strict=True)
        arrays = [dump(c) for dump, c in zip(self._dumps[name], columns, strict=True)]
        return self.raw.execute(text, arrays)


def _dumps(query: Query) -> list[Callable[[Any], str]]:
    """What makes arrays of a query's columns."""
    types = [column.split()[1] for column in query.columns]
    return [text_array if of == "text" else plain_array for of in types]


def _exact(query: Query, text: str) -> str:
    """The statement, which divides by zero when it does not hit every row."""
    if not query.columns:
        return text
    count = f"cardinality($1::{query.columns[0].split()[1]}[])"
    return f"with hit as ({text} returning 1) select 1 / (count(*) = {count})::integer from hit"


def _text(query: Query, hub: int) -> str:
    """The statement for one hub; a table of rows is made of an array per column."""
    arrays = [
        f"${number}::{column.split()[1]}[]" for number, column in enumerate(query.columns, start=1)
    ]
    names = ", ".join(column.split()[0] for column in query.columns)
    table = f"unnest({', '.join(arrays)}) with ordinality rows ({names}, position)"
    return query.text.replace("{rows}", table).replace("{hub}", str(hub))

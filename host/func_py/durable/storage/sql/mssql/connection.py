"""A connection to SQL Server: rows travel as one JSON text, lost sessions come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.mssql.session import DRIVER_ERRORS, Cursor, Session
from func_py.durable.storage.sql.queries import Query, Row
from func_py.durable.storage.sql.revival import Revival

T = TypeVar("T")

COLLATION = "Latin1_General_100_BIN2"
"""Texts that are keys compare by their bytes."""

_SHORTEST = 256
_LONGEST_INLINE = 4000
"""Characters. The driver sends longer texts as such of any length."""

_PARAMETER = re.compile(r"\$(\d+)")
_POSITION = "position int"

_encode = msgspec.json.Encoder().encode


class Statement:
    """A query as the server gets it.

    Args:
        query: As it is written.
        schema: The schema of the tables.
        hub: The hub's number.
    """

    def __init__(self, query: Query, schema: str, hub: int) -> None:
        text = fill(query.text, schema, hub).replace("{rows}", _table(query.columns))
        self.order = tuple(int(number) - 1 for number in _PARAMETER.findall(text))
        """Which value each `?` is."""
        self.text = _PARAMETER.sub("?", text)
        self.has_position = query.columns[-1:] == (_POSITION,)

    def arguments(self, values: Sequence[object]) -> list[object]:
        """The values, once for each `?`."""
        return [values[position] for position in self.order]


class MssqlConnection(Connection):
    """Executes the queries on one hub.

    Args:
        connect: Makes a session.
        queries: Of the dialect.
        schema: The schema of all hubs.
        hub: The hub's number, 0 while it is not known.
    """

    raw: Session

    def __init__(
        self, connect: Callable[[], Session], queries: Mapping[str, Query], schema: str, hub: int
    ) -> None:
        super().__init__(connect(), queries)
        self._revival = Revival(connect, DRIVER_ERRORS)
        self._statements = {name: Statement(q, schema, hub) for name, q in queries.items()}

    def execute(self, name: str, *values: object) -> int:
        """See `Connection.execute`."""
        return self._send(name, values).rowcount if self._statements[name].text else 0

    def execute_rows(self, name: str, rows: Sequence[Row]) -> int:
        """See `Connection.execute_rows`."""
        if not rows:
            return 0
        if self._statements[name].has_position:
            rows = [(*row, position) for position, row in enumerate(rows)]
        text = _padded(_encode(rows).decode())
        return self.raw.execute(self._statements[name].text, [text]).rowcount

    def row(self, name: str, *values: object) -> tuple[Any, ...] | None:
        """See `Connection.row`."""
        row = self._send(name, values).fetchone()
        return None if row is None else tuple(row)

    def document(self, decoder: msgspec.json.Decoder[T], name: str, *values: object) -> T:
        """See `Connection.document`. There are rows instead: the driver fetches many at once."""
        rows = [tuple(row) for row in self._send(name, values).fetchall()]
        is_list_of_values = bool(rows) and len(rows[0]) == 1
        return msgspec.convert([r[0] for r in rows] if is_list_of_values else rows, decoder.type)

    def names(self, name: str, *values: object) -> list[str]:
        """The texts that a query of one column answers."""
        return [row[0] for row in self._send(name, values).fetchall()]

    @property
    def is_lost(self) -> bool:
        """See `Connection.is_lost`."""
        return self.raw.is_lost

    def revive(self) -> None:
        """Connect again when the session was lost; raises what the driver does."""
        if self.raw.is_lost:
            self.raw = self._revival.attempt()

    def _send(self, name: str, values: Sequence[object]) -> Cursor:
        for value in values:
            if isinstance(value, str):
                value.encode()  # raises for what is no Unicode, before the driver changes it
        statement = self._statements[name]
        return self.raw.execute(statement.text, statement.arguments(values))


def fill(text: str, schema: str, hub: int = 0) -> str:
    """A text of ours for one hub of one schema."""
    return (
        text.replace("{schema}", quoted(schema))
        .replace("{hub}", str(hub))
        .replace("{binary}", f"collate {COLLATION}")
    )


def quoted(name: str) -> str:
    """A name as an identifier."""
    return "[" + name.replace("]", "]]") + "]"


def _table(columns: Sequence[str]) -> str:
    """A table of rows that come as a JSON array of arrays."""
    parts = []
    for number, column in enumerate(columns):
        name, kind = column.split(maxsplit=1)
        parts.append(f"{name} {kind} '$[{number}]'")
    return f"openjson($1) with ({', '.join(parts)}) as rows"


def _padded(text: str) -> str:
    """The text with blanks behind it, so that the server meets few lengths.

    A parameter's type has its length, and the server makes a plan for each.
    """
    length = _SHORTEST
    while length < len(text):
        length *= 2
    return text.ljust(length) if length <= _LONGEST_INLINE else text

"""Named queries of a dialect, read from its `queries.sql`.

A query with a `-- rows: a, b` line works on many rows at once: `{rows}` in it is a table of them,
and `{any: x = ? and y = ?}` holds for a record that one of them means. A statement per row would be
slow for a reason that has nothing to do with the database: a driver releases the interpreter lock
in every call, and beside a thread that computes each of these waits for a whole switch interval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable

_CHUNKS = (1, 4, 16, 64, 256)
"""Rows per execution. Few sizes, so that the driver keeps every statement prepared."""

_HEADER = re.compile(r"--\s*(name|rows):\s*(.+)")
_ANY = re.compile(r"\{any:\s*(.+?)\}", re.DOTALL)

Row = Sequence[object]


class Query:
    """One statement; `columns` are those of its `rows` table, empty when it has none."""

    def __init__(self, name: str, text: str, columns: Sequence[str], placeholder: str) -> None:
        self.name = name
        self.columns = tuple(columns)
        self._text = text
        self._values = "(" + ", ".join([placeholder] * len(columns)) + ")"
        self._sized: dict[int, str] = {}

    @property
    def text(self) -> str:
        """The statement, for a query without rows."""
        return self._text

    @property
    def single(self) -> str:
        """The statement for one row."""
        return self._of_size(1)

    def chunks(self, rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
        """The executions that handle all the rows: text and values of each.

        A chunk that is not full is padded with rows of nulls, which the query ignores, or which
        nothing equals.
        """
        for start in range(0, len(rows), _CHUNKS[-1]):
            chunk = rows[start : start + _CHUNKS[-1]]
            size = next(size for size in _CHUNKS if size >= len(chunk))
            values = [value for row in chunk for value in row]
            values.extend([None] * ((size - len(chunk)) * len(self.columns)))
            yield self._of_size(size), values

    def _of_size(self, size: int) -> str:
        text = self._sized.get(size)
        if text is None:
            values = ", ".join([self._values] * size)
            columns = ", ".join(self.columns)
            # Not in front of the statement: sqlite3 counts rows only for what begins with
            # insert, update or delete.
            table = f"(with v ({columns}) as (values {values}) select * from v) rows"
            text = _ANY.sub(lambda match: " or ".join([f"({match[1]})"] * size), self._text)
            text = self._sized[size] = text.replace("{rows}", table)
        return text


def load_queries(source: Traversable, placeholder: str) -> dict[str, Query]:
    """Read a `queries.sql`: `-- name: x` begins a query, other comment lines are dropped."""
    queries: dict[str, Query] = {}
    name = ""
    columns: list[str] = []
    lines: list[str] = []

    def finish() -> None:
        if name:
            queries[name] = Query(name, "\n".join(lines).strip(), columns, placeholder)

    for line in source.read_text(encoding="utf-8").splitlines():
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            if not line.startswith("--"):
                lines.append(line)
        elif header[1] == "name":
            finish()
            name, columns, lines = header[2], [], []
        else:
            columns = [column.strip() for column in header[2].split(",")]
    finish()
    return queries

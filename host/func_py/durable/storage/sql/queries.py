"""Named queries of a dialect, read from its `queries.sql`.

A query with a `-- rows: a, b` line works on many rows at once: `{rows}` in it is a table of them,
`{values}` is what an insert takes them from, and `{any: x = ? and y = ?}` holds for a record that
one of them means. A statement per row would be slow for a reason that has nothing to do with the
database: a driver releases the interpreter lock in every call, and beside a thread that computes
each of these waits for a whole switch interval. What follows a `-- one:` line is the same for one
row, which needs no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable

_CHUNKS = (1, 4, 16, 64, 256)
"""Rows per execution. Few sizes, so that the driver keeps every statement prepared."""

_HEADER = re.compile(r"--\s*(name|rows|one):\s*(.*)")
_ANY = re.compile(r"\{any:\s*(.+?)\}", re.DOTALL)

Row = Sequence[object]


class Query:
    """One statement; `columns` are those of its `rows` table, empty when it has none.

    `single`: the statement for one row, where that is another one.
    """

    def __init__(
        self, name: str, text: str, columns: Sequence[str], placeholder: str, single: str = ""
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self._text = text
        self._values = "(" + ", ".join([placeholder] * len(columns)) + ")"
        self._sized = {1: single} if single else {}
        self.single = self._of_size(1)
        """The statement for one row."""

    @property
    def text(self) -> str:
        """The statement, for a query without rows."""
        return self._text

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
            source = f"values {values}"
            if size > 1:
                source = f"select {columns} from {table} where {self.columns[0]} is not null"
            text = _ANY.sub(lambda match: " or ".join([f"({match[1]})"] * size), self._text)
            text = text.replace("{rows}", table).replace("{values}", source)
            self._sized[size] = text
        return text


def load_queries(source: Traversable, placeholder: str) -> dict[str, Query]:
    """Read a `queries.sql`: `-- name: x` begins a query, other comment lines are dropped."""
    queries: dict[str, Query] = {}
    name = ""
    columns: list[str] = []
    lines: list[str] = []
    many: list[str] | None = None

    def finish() -> None:
        if name:
            last = "\n".join(lines).strip()
            text, single = (last, "") if many is None else ("\n".join(many).strip(), last)
            queries[name] = Query(name, text, columns, placeholder, single)

    for line in source.read_text(encoding="utf-8").splitlines():
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            if not line.startswith("--"):
                lines.append(line)
        elif header[1] == "name":
            finish()
            name, columns, lines, many = header[2], [], [], None
        elif header[1] == "one":
            many, lines = lines, []
        else:
            columns = [column.strip() for column in header[2].split(",")]
    finish()
    return queries

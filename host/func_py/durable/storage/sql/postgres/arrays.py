"""Arrays as PostgreSQL reads them: a column of many rows in one text.

The driver can do this, element by element and quote by quote in Python. That took nine tenths of
the time of a commit with many rows; here a column costs a few calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import psycopg

_SEPARATOR = "\0"
"""No text of PostgreSQL has it."""


def text_array(column: Sequence[str | None]) -> str:
    """Texts, and None for null.

    Raises:
        psycopg.DataError: One of them has a NUL, which PostgreSQL cannot store.
    """
    # Distinct from `"NULL"`, which would be a text.
    if None in column:
        return "{" + ",".join("NULL" if t is None else text_array([t])[1:-1] for t in column) + "}"
    if not column:
        return "{}"
    joined = _SEPARATOR.join(cast("Sequence[str]", column))
    if joined.count(_SEPARATOR) != len(column) - 1:
        raise psycopg.DataError("a text has a NUL character, which PostgreSQL cannot store")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace(_SEPARATOR, '","') + '"}'


def plain_array(column: Iterable[object]) -> str:
    """Numbers, or truth values."""
    return "{" + ",".join(map(str, column)) + "}"

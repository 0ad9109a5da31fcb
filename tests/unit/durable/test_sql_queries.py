"""Named queries on many rows: what they hit, and how SQLite finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from func_py.durable.storage.sql import sqlite
from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.queries import Query, load_queries
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect

_QUERIES = load_queries(files(sqlite) / "queries.sql", "?")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """The writer's connection to an empty hub."""
    dialect = SqliteDialect(tmp_path, "Hub")
    dialect.create(4)
    with closing(dialect.connect()) as connection:
        yield connection


def _plan(connection: Connection, query: Query, rows: Sequence[Sequence[object]]) -> str:
    ((text, values),) = query.chunks(rows)
    found = connection.raw.execute(f"explain query plan {text}", values)
    return " ".join(str(row[3]) for row in iter(found.fetchone, None))


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(
    "name", ["delete_activities", "discard_activities", "complete_activities", "offer_activities"]
)
def test_a_call_is_found_by_its_whole_key(connection: Connection, name: str, count: int) -> None:
    """By the instance alone each would cost a look at all the calls that its instance waits for."""
    query = _QUERIES[name]
    plan = _plan(connection, query, [[None] * len(query.columns)] * count)
    searches = [part for part in plan.split("SEARCH ") if part.startswith("activities ")]
    assert searches
    assert all("number=? AND execution_id=? AND task_id=?" in each for each in searches)


@pytest.mark.parametrize("count", [1, 3, 70])
def test_exactly_the_records_that_rows_mean_are_hit(connection: Connection, count: int) -> None:
    """Rows are padded to a few sizes; the padding means no record."""
    calls = [(1, "execution", task, 0, 1, "host", "{}", None) for task in range(100)]
    connection.execute_rows("insert_activities", calls)
    keys = [(1, "execution", task) for task in range(count)]
    assert connection.execute_rows("delete_activities", keys) == count
    left = connection.raw.execute("select min(task_id), count(*) from activities").fetchone()
    assert left == (count, 100 - count)


def test_one_row_that_hits_nothing_shows_in_the_count(connection: Connection) -> None:
    connection.execute_rows("insert_activities", [(1, "execution", 1, 0, 1, "host", "{}", None)])
    keys = [(1, "execution", 1), (1, "execution", 2)]
    assert connection.execute_rows("delete_activities", keys) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_an_instance_is_changed_only_by_the_turn_that_saw_its_last_one(
    connection: Connection, count: int
) -> None:
    """One row is changed by another statement than many."""
    born = [
        (number, f"id-{number}", "e", 7, 0, 0, number, "Pending", "{}", None)
        for number in range(count)
    ]
    assert connection.execute_rows("insert_instances", born) == count
    turns = [(number, 7, "f", 4, "Running", "{1}", "out") for number in range(count)]
    assert connection.execute_rows("update_instances", turns) == count
    assert connection.execute_rows("update_instances", turns) == 0
    row = connection.raw.execute(
        "select execution_id, turns, history_length, status, progress, large_output from instances"
    ).fetchone()
    assert row == ("f", 8, 4, "Running", "{1}", "out")

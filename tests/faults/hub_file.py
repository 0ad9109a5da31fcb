"""The task hub as it lies on the disk, or on a server, read past the host."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from func_py.durable.model import HistoryEvent
from func_py.durable.model.events import decode_events


class HubFile:
    """Reads; the host may be at work meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    def statuses(self) -> dict[str, str]:
        """Runtime status by instance id."""
        return dict(self.rows("select instance_id, status from instances"))

    def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """The stored events of an instance."""
        sql = (
            "select body from history join instances using (number) "
            "where instance_id = ? order by first_event"
        )
        return [e for (body,) in self.rows(sql, instance_id) for e in decode_events(body)]

    def count(self, table: str, instance_id: str) -> int:
        """How many rows of a table belong to the instance, or to none that is there."""
        others = "select number from instances where instance_id <> ?"
        sql = f"select count(*) from {table} where number not in ({others})"
        [(count,)] = self.rows(sql, instance_id)
        return int(count)

    def has_work_left(self) -> bool:
        """Is there a message, a timer or an activity?"""
        tables = ("messages", "timers", "activities")
        return any(self.rows(f"select 1 from {table} limit 1") for table in tables)

    def orphans(self) -> list[tuple[Any, ...]]:
        """Tables with rows of instances that are not there."""
        tables = ("origins", "history", "timers", "activities")
        orphans = (
            f"select '{table}', number from {table} where number not in "
            "(select number from instances)"
            for table in tables
        )
        return self.rows(" union all ".join(orphans))

    def owners(self) -> set[str | None]:
        """Who holds the partitions."""
        return {holder for (holder,) in self.rows("select holder from partitions")}

    def hosts(self) -> set[str]:
        """The hosts that are known."""
        return {host_id for (host_id,) in self.rows("select host_id from hosts")}


class HubServer(HubFile):
    """The same on a PostgreSQL server, in a schema that has no other hub."""

    def __init__(self, uri: str, schema: str) -> None:
        self._uri = uri
        self._schema = schema

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query, written as for SQLite."""
        options = f"-c search_path={self._schema}"
        with psycopg.connect(self._uri, options=options) as connection:
            return connection.execute(sql.replace("?", "%s").encode(), values).fetchall()

"""SQLite: the embedded task hub, a file beside the app that several processes may share."""

from func_py.durable.storage.sql.sqlite.provider import SqliteProvider

__all__ = ["SqliteProvider"]

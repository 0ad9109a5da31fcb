"""PostgreSQL: a task hub on a server, which hosts of several machines may share."""

from func_py.durable.storage.sql.postgres.provider import PostgresProvider

__all__ = ["PostgresProvider"]

"""SQL Server and Azure SQL: a task hub on a server, which hosts of several machines may share."""

from func_py.durable.storage.sql.mssql.provider import MssqlProvider

__all__ = ["MssqlProvider"]

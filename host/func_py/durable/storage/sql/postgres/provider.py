"""What host.json's `storageProvider.type: postgres` means."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.lease_time import lease_time
from func_py.durable.storage.registry import HubSettings
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.postgres.dialect import PostgresDialect
from func_py.durable.storage.sql.server_settings import SECTION, connection_text
from func_py.errors import ConfigError

DEFAULT_SCHEMA = "func_py"

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class PostgresProvider:
    """Makes task hubs in a schema of a database.

    Options: `connectionStringName`, the app setting with the connection string; `schemaName`;
    `leaseTime`.
    """

    def create_task_hub(self, settings: HubSettings) -> TaskHub:
        """See `Provider.create_task_hub`."""
        schema = str(settings.options.get("schemaName") or DEFAULT_SCHEMA)
        if _SCHEMA.fullmatch(schema) is None or schema.lower().startswith("pg_"):
            raise ConfigError(
                "host.json",
                f"{SECTION}.schemaName",
                f"'{schema}' cannot name a schema",
                "Use letters, digits and '_', not with a digit or 'pg_' first.",
            )
        lease = lease_time(settings, DEFAULT_LEASE)
        dialect = PostgresDialect(_parameters(settings), schema, settings.hub, lease)
        return SqlTaskHub(
            dialect,
            settings.hub,
            settings.partition_count,
            payload_limit=settings.payload_limit,
        )


def _parameters(settings: HubSettings) -> dict[str, Any]:
    """What the connection string says."""
    name, text = connection_text(settings, "postgresql://user:password@host:5432/database")
    try:
        return dict(conninfo_to_dict(text))
    except psycopg.ProgrammingError as error:
        # Not what the driver says: it repeats the string, with the password.
        raise ConfigError(
            "host.json",
            f"{SECTION}.connectionStringName",
            f"the app setting '{name}' is not a connection string of PostgreSQL",
            "Write postgresql://user:password@host:5432/database, or key=value pairs.",
        ) from error

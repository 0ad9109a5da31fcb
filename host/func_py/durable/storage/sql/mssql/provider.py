"""What host.json's `storageProvider.type: mssql` means."""

from __future__ import annotations

import re
from datetime import timedelta

from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.lease_time import lease_time
from func_py.durable.storage.registry import HubSettings
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.lease import DEFAULT_LEASE
from func_py.durable.storage.sql.mssql.connection_string import (
    BadConnectionString,
    Target,
    parse_connection_string,
)
from func_py.durable.storage.sql.mssql.dialect import MssqlDialect
from func_py.durable.storage.sql.server_settings import SECTION, connection_text
from func_py.errors import ConfigError

DEFAULT_SCHEMA = "func_py"

FIRST_LOOK = timedelta(milliseconds=50)
LONGEST_LOOK = timedelta(seconds=1)
"""How often a host looks for what others stored: soon after something happened, then less."""

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class MssqlProvider:
    """Makes task hubs in a schema of a database.

    Options: `connectionStringName`, the app setting with the connection string; `schemaName`;
    `createDatabaseIfNotExists`; `leaseTime`.
    """

    def create_task_hub(self, settings: HubSettings) -> TaskHub:
        """See `Provider.create_task_hub`."""
        schema = str(settings.options.get("schemaName") or DEFAULT_SCHEMA)
        if _SCHEMA.fullmatch(schema) is None:
            raise ConfigError(
                "host.json",
                f"{SECTION}.schemaName",
                f"'{schema}' cannot name a schema",
                "Use letters, digits and '_', not with a digit first.",
            )
        dialect = MssqlDialect(
            _target(settings),
            schema,
            settings.hub,
            lease_time(settings, DEFAULT_LEASE),
            creates_database=_creates_database(settings),
        )
        return SqlTaskHub(
            dialect,
            settings.hub,
            settings.partition_count,
            LONGEST_LOOK,
            first_look=FIRST_LOOK,
            payload_limit=settings.payload_limit,
        )


def _creates_database(settings: HubSettings) -> bool:
    value = settings.options.get("createDatabaseIfNotExists") or False
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ConfigError(
            "host.json",
            f"{SECTION}.createDatabaseIfNotExists",
            f"is '{value}', which is neither true nor false",
        )
    return word == "true"


def _target(settings: HubSettings) -> Target:
    """What the connection string says."""
    name, text = connection_text(settings, "Server=localhost;Database=Hub;User ID=user;Password=…")
    try:
        return parse_connection_string(text)
    except BadConnectionString as error:
        raise ConfigError(
            "host.json",
            f"{SECTION}.connectionStringName",
            f"the app setting '{name}' is not a connection string of SQL Server: {error}",
            "Write Server=…;Database=…;User ID=…;Password=…;Encrypt=…",
        ) from error

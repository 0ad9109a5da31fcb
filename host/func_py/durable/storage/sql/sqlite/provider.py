"""What host.json's `storageProvider.type: sqlite` (and no type at all) means."""

from __future__ import annotations

import re

from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.registry import HubSettings
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect
from func_py.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class SqliteProvider:
    """Makes task hubs in files `<state_dir>/<hub>.db`. Takes no options of its own."""

    def create_task_hub(self, settings: HubSettings) -> TaskHub:
        """See `Provider.create_task_hub`."""
        if _NAME.fullmatch(settings.hub) is None:
            raise ConfigError(
                "host.json",
                "extensions.durableTask.hubName",
                f"'{settings.hub}' cannot name a task hub",
                "Use letters, digits, '-' and '_', with a letter or digit first.",
            )
        dialect = SqliteDialect(settings.state_dir, settings.hub)
        return SqlTaskHub(
            dialect,
            settings.hub,
            settings.partition_count,
            payload_limit=settings.payload_limit,
        )

"""Connections by the names that bindings use, and the SDK's clients behind them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from func_py.config.app_settings import find_connection
from func_py.errors import ConnectionSettingError
from func_py.storage.answers import Answers
from func_py.storage.credentials import credential_of
from func_py.storage.emulator import connection_string

DEFAULT = "AzureWebJobsStorage"
"""The connection of bindings that name none."""

_SUFFIX = "core.windows.net"

# An emulator that is away says so at once, and the SDK would ask it for a minute. Listeners ask
# again themselves; of the others somebody waits for the answer.
_RETRIES = {
    "retry_total": 2,
    "initial_backoff": 0.3,
    "increment_base": 1,
    "random_jitter_range": 0.2,
}
_TABLE_RETRIES = {"retry_total": 2, "retry_backoff_factor": 0.3}
_QUIET = {"http_logging_level": logging.DEBUG, "connection_timeout": 10}


C = TypeVar("C", BlobServiceClient, QueueServiceClient, TableServiceClient)


@dataclass(frozen=True, slots=True)
class Connected(Generic[C]):
    """The client of one service of a connection, and how its answers are understood."""

    client: C
    answers: Answers


class StorageConnections:
    """Gives the clients of services, one for each connection. Close it when no call runs.

    Args:
        settings: The app settings.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._connected: dict[tuple[str, str], Any] = {}
        self._opened = AsyncExitStack()

    def queues(self, name: str) -> Connected[QueueServiceClient]:
        """The queue service of a connection; an empty name is `AzureWebJobsStorage`.

        Raises:
            ConnectionSettingError: No app setting has this name, or what it holds is unusable.
        """
        return self._service(name, "Queue", QueueServiceClient, **_RETRIES)

    def blobs(self, name: str) -> Connected[BlobServiceClient]:
        """The blob service of a connection; otherwise as `queues`."""
        return self._service(name, "Blob", BlobServiceClient, **_RETRIES)

    def tables(self, name: str) -> Connected[TableServiceClient]:
        """The table service of a connection; otherwise as `queues`."""
        return self._service(name, "Table", TableServiceClient, **_TABLE_RETRIES)

    async def close(self) -> None:
        """Close every client."""
        await self._opened.aclose()

    def _service(self, name: str, service: str, kind: type[C], **options: Any) -> Connected[C]:
        name = name or DEFAULT
        key = (name.lower(), service)
        if key not in self._connected:
            client = self._open(name, service, kind, {**_QUIET, **options})
            self._opened.push_async_callback(client.close)
            self._connected[key] = Connected(client, Answers(name, client.url))
        found: Connected[C] = self._connected[key]
        return found

    def _open(self, name: str, service: str, kind: Any, options: dict[str, Any]) -> Any:
        found = find_connection(name, self._settings)
        if found is None:
            raise ConnectionSettingError(name, "there is no app setting of this name")
        if isinstance(found, str):
            try:
                return kind.from_connection_string(connection_string(found), **options)
            except ValueError as exc:
                raise ConnectionSettingError(name, f"it is no connection string: {exc}") from exc
        url = _service_url(found, service)
        if url is None:
            raise ConnectionSettingError(
                name, f"it has neither '{service.lower()}ServiceUri' nor 'accountName'"
            )
        credential = credential_of(name, found)
        self._opened.push_async_callback(credential.close)
        return kind(url, credential=credential, **options)


def _service_url(section: Mapping[str, str], service: str) -> str | None:
    given = {key.lower(): value for key, value in section.items() if value}
    for key in (f"{service.lower()}serviceuri", "serviceuri"):
        if key in given:
            return given[key]
    account = given.get("accountname")
    return f"https://{account}.{service.lower()}.{_SUFFIX}" if account else None

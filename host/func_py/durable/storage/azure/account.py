"""A storage account: how it is reached, the SDK's clients for it, and what their errors mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import getproxies

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from func_py.errors import StorageError, StorageUnavailable

_TIMEOUT_S = 20

_OPTIONS: dict[str, Any] = {
    # The engine repeats; and only who sees each answer can tell whether a conditional write that
    # failed is its own, repeated.
    "retry_total": 0,
    "connection_timeout": _TIMEOUT_S,
    "read_timeout": _TIMEOUT_S,
    "logging_enable": False,
}
"""How our clients differ from the SDK's default."""


def _options() -> dict[str, Any]:
    """Those, and a transport that asks for a proxy only where there is one.

    With settings of the environment aiohttp goes to a thread twice for each request.
    """
    transport = AioHttpTransport(use_env_settings=bool(getproxies()))
    return {**_OPTIONS, "transport": transport}


_SERVICES = ("blob", "queue", "table")
_TRANSIENT = frozenset({408, 409, 429, 500, 502, 503, 504})

# The SDK formats every request for this logger, also when nobody listens.
logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)

DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/"
    "KBHBeksoGMGw==;"
    + "".join(
        f"{service.capitalize()}Endpoint=http://127.0.0.1:{10_000 + number}/devstoreaccount1;"
        for number, service in enumerate(_SERVICES)
    )
)
"""What `UseDevelopmentStorage=true` stands for: Azurite's well-known account at its usual ports."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where an account is and how to sign requests: a connection string, or endpoints and a
    credential of Entra ID."""

    connection_string: str = field(default="", repr=False)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Service (`blob`, `queue`, `table`) → URL; when there is no connection string."""
    credential: Any = field(default=None, repr=False)
    """A credential of the SDK (`azure.identity.aio`)."""

    @property
    def location(self) -> str:
        """For people: the URL of the queue service, without secrets."""
        if self.connection_string:
            client = QueueServiceClient.from_connection_string(self.connection_string)
            return str(client.url).partition("?")[0].rstrip("/")
        return self.endpoints["queue"].rstrip("/")

    def tables(self) -> TableServiceClient:
        """A new client of the table service."""
        if self.connection_string:
            return TableServiceClient.from_connection_string(self.connection_string, **_options())
        return TableServiceClient(self.endpoints["table"], credential=self.credential, **_options())

    def queues(self) -> QueueServiceClient:
        """A new client of the queue service."""
        if self.connection_string:
            return QueueServiceClient.from_connection_string(self.connection_string, **_options())
        return QueueServiceClient(self.endpoints["queue"], credential=self.credential, **_options())

    def blobs(self) -> BlobServiceClient:
        """A new client of the blob service."""
        if self.connection_string:
            return BlobServiceClient.from_connection_string(self.connection_string, **_options())
        return BlobServiceClient(self.endpoints["blob"], credential=self.credential, **_options())


@contextmanager
def answers() -> Iterator[None]:
    """Translate what the SDK raises.

    Raises:
        StorageUnavailable: There was no answer, or a transient one; the account refuses us; what
            the hub is made of is gone.
        StorageError: A value cannot be stored.
    """
    try:
        yield
    except UnicodeError as error:
        raise StorageError(f"a value cannot be stored: {error}") from error
    except ClientAuthenticationError as error:
        raise StorageUnavailable(f"the storage account refuses access: {error.message}") from error
    except HttpResponseError as error:
        status = error.status_code
        if status is None or status in _TRANSIENT or status == 404:
            raise StorageUnavailable(_first_line(error)) from error
        raise StorageError(_first_line(error)) from error
    except AzureError as error:
        raise StorageUnavailable(_first_line(error)) from error


def _first_line(error: AzureError) -> str:
    return str(error.message or type(error).__name__).partition("\n")[0]

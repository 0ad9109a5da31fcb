"""A storage account: how it is reached, the SDK's clients for it, and what their errors mean."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
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


_TRANSIENT = frozenset({408, 409, 429, 500, 502, 503, 504})

# The SDK formats every request for this logger, also when nobody listens.
logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)


class Clients(NamedTuple):
    """The SDK's clients of one account, for one event loop."""

    tables: TableServiceClient
    queues: QueueServiceClient
    blobs: BlobServiceClient


@dataclass(frozen=True, slots=True)
class Account:
    """Where an account is and how to sign requests: a connection string, or endpoints and a
    credential of Entra ID."""

    connection_string: str = field(default="", repr=False)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Service (`blob`, `queue`, `table`) → URL; when there is no connection string."""
    credential: Callable[[], Any] | None = field(default=None, repr=False)
    """Makes a credential of the SDK, which belongs to one event loop."""

    @property
    def location(self) -> str:
        """For people: the URL of the queue service, without secrets."""
        if not self.connection_string:
            return self.endpoints["queue"].rstrip("/")
        client = QueueServiceClient.from_connection_string(self.connection_string)
        return str(client.url).partition("?")[0].rstrip("/")

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Clients]:
        """New clients, which are closed at the end."""
        async with AsyncExitStack() as stack:
            credential = None
            if self.credential is not None:
                credential = await stack.enter_async_context(self.credential())

            async def client(kind: Any, service: str) -> Any:
                if self.connection_string:
                    made = kind.from_connection_string(self.connection_string, **_options())
                else:
                    made = kind(self.endpoints[service], credential=credential, **_options())
                return await stack.enter_async_context(made)

            yield Clients(
                await client(TableServiceClient, "table"),
                await client(QueueServiceClient, "queue"),
                await client(BlobServiceClient, "blob"),
            )


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

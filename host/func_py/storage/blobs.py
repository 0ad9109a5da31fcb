"""Blobs of Azure Storage, read whole and written whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobClient

from func_py.clock import Clock
from func_py.storage.connections import StorageConnections
from func_py.storage.naming import Naming
from func_py.storage.wakes import Wakes
from func_py_bindings.blob import TYPE, BlobContent, blob_argument, blob_bytes, split_path
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation, Send
from func_py_bindings.deferred import deferred_blob

_NOT_FOUND, _CHANGED = 404, 412


class Blobs:
    """Reads and writes bindings of type `blob`.

    Args:
        connections: Where the clients come from.
        wakes: Told of what is written.
        clock: The time, for names that hold it.
    """

    def __init__(self, connections: StorageConnections, wakes: Wakes, clock: Clock) -> None:
        self._connections = connections
        self._wakes = wakes
        self._clock = clock

    def fetcher(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation], Awaitable[object]]:
        """See `InputFetcher.fetcher`. A blob that is not there is None."""
        connection = str(binding.get("connection") or "")
        path = Naming(function, binding, "path", self._clock)
        argument = blob_argument(function, binding)
        client_of = deferred_blob(function, binding, TYPE)

        async def fetch(invocation: Invocation) -> object:
            text = path.name(invocation)
            if client_of is not None:
                container, _, name = text.strip("/").partition("/")
                return client_of(container, name)
            return argument(await self.read(connection, *split_path(text)))

        return fetch

    def writer(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation, object], Send]:
        """See `OutputWriter.writer`."""
        connection = str(binding.get("connection") or "")
        path = Naming(function, binding, "path", self._clock)

        def write(invocation: Invocation, value: object) -> Send:
            data = blob_bytes(value)
            container, name = split_path(path.name(invocation))

            async def send() -> None:
                await self.write(connection, container, name, data)

            return send

        return write

    async def read(
        self,
        connection: str,
        container: str,
        name: str,
        *,
        etag: str | None = None,
        with_data: bool = True,
    ) -> BlobContent | None:
        """A blob; None: it is not there, or no longer the one of this ETag.

        Raises:
            ConnectionSettingError: The connection cannot be used.
            StorageError: The service did not answer, or refused.
        """
        connected = self._connections.blobs(connection)
        client = connected.client.get_blob_client(container, name)
        with connected.answers.translated():
            try:
                if not with_data:
                    found = await client.get_blob_properties(**_only(etag))
                    return _content(client, found, container, name, b"")
                download = await client.download_blob(**_only(etag))
                data = await download.readall()
            except HttpResponseError as exc:
                if exc.status_code in (_NOT_FOUND, _CHANGED):
                    return None
                raise
        return _content(client, download.properties, container, name, data)

    async def write(self, connection: str, container: str, name: str, data: bytes) -> None:
        """Write a blob in place of the one that may be there; its container is made if it is none.

        Raises:
            ConnectionSettingError: The connection cannot be used.
            StorageError: The service did not answer, or refused.
        """
        connected = self._connections.blobs(connection)
        home = connected.client.get_container_client(container)
        with connected.answers.translated():
            try:
                await home.upload_blob(name, data, overwrite=True)
            except HttpResponseError as exc:
                if exc.status_code != _NOT_FOUND:
                    raise
                with suppress(ResourceExistsError):  # Somebody else was quicker.
                    await home.create_container()
                await home.upload_blob(name, data, overwrite=True)
        self._wakes.ring(home.url.partition("?")[0])


def _only(etag: str | None) -> dict[str, Any]:
    """The condition that a blob is the one of this ETag."""
    return {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _content(
    client: BlobClient, found: BlobProperties, container: str, name: str, data: bytes
) -> BlobContent:
    settings = found.content_settings
    properties: dict[str, object] = {
        "ContentLength": found.size,
        "Length": found.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ContentLanguage": settings.content_language,
        "CacheControl": settings.cache_control,
        "ETag": found.etag,
        "LastModified": _time(found.last_modified),
        "CreatedOn": _time(found.creation_time),
        "BlobType": str(getattr(found.blob_type, "value", found.blob_type)),
    }
    return BlobContent(
        container=container,
        name=name,
        uri=client.url.partition("?")[0],
        data=data,
        properties=properties,
        metadata=dict(found.metadata or {}),
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

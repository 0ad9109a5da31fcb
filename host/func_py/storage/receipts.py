"""Receipts of blob triggers, in the layout of the official host.

A receipt says that a function was told of a blob as it was: `blobreceipts/<host>/<function>/<etag>/
<container>/<name>` in the container `azure-webjobs-hosts`, marked incomplete until the message that
tells it is sent. Whoever marks it holds its lease meanwhile, so of several hosts one sends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import ContainerClient

from func_py.storage.answers import Answers
from func_py.storage.connections import StorageConnections

_CONTAINER = "azure-webjobs-hosts"
_LEASE_S = 30
_INCOMPLETE = {"Incomplete": "True"}


class Receipts:
    """The receipts of one host id. Every method may raise StorageError.

    Args:
        connections: Where the client comes from; receipts are in the host's own storage.
        host_id: The same for all hosts of an app.

    Raises:
        ConnectionSettingError: There is no such storage.
    """

    def __init__(self, connections: StorageConnections, host_id: str) -> None:
        connected = connections.blobs("")
        self._home: ContainerClient = connected.client.get_container_client(_CONTAINER)
        self._answers: Answers = connected.answers
        self._prefix = f"blobreceipts/{host_id}/"

    async def told(self, function: str) -> set[str]:
        """`<etag>/<container>/<name>` of everything that a function was told of."""
        prefix = f"{self._prefix}{function}/"
        found = set()
        with self._answers.translated():
            try:
                async for blob in self._home.list_blobs(prefix, include=["metadata"]):
                    if not _is_incomplete(blob):
                        found.add(blob.name.removeprefix(prefix))
            except ResourceNotFoundError:
                return set()
        return found

    async def tell_once(self, function: str, key: str, tell: Callable[[], Awaitable[None]]) -> bool:
        """Call `tell` unless that was done already, on this host or another.

        Args:
            function: The id of the function.
            key: `<etag>/<container>/<name>`.
            tell: Sends the message.

        Returns:
            Whether it is done now. False: another host is at it; if it dies, somebody else must.
        """
        receipt = self._home.get_blob_client(f"{self._prefix}{function}/{key}")
        with self._answers.translated():
            try:
                await self._create(receipt)
            except ResourceExistsError:
                if not _is_incomplete(await receipt.get_blob_properties()):
                    return True
            try:
                lease = await receipt.acquire_lease(_LEASE_S)
            except HttpResponseError:
                return False
            try:
                if _is_incomplete(await receipt.get_blob_properties()):
                    await tell()
                    await receipt.set_blob_metadata({}, lease=lease)
            finally:
                with suppress(HttpResponseError):
                    await lease.release()
        return True

    async def _create(self, receipt: Any) -> None:
        try:
            await receipt.upload_blob(b"", metadata=_INCOMPLETE, overwrite=False)
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):
                await self._home.create_container()
            await receipt.upload_blob(b"", metadata=_INCOMPLETE, overwrite=False)


def _is_incomplete(blob: Any) -> bool:
    return any(key.lower() == "incomplete" for key in blob.metadata or {})

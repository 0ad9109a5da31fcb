"""How far a container was looked through, in the layout of the official host.

`blobscaninfo/<host>/<account>/<container>/scanInfo` in the container `azure-webjobs-hosts` has a
time: all that was last written before it was told to the functions that are listed beside it. The
official host lists none; then it was told to all that there are.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import ContainerClient

from func_py.storage.answers import Answers
from func_py.storage.connections import StorageConnections

_CONTAINER = "azure-webjobs-hosts"


class Looked(NamedTuple):
    """What was looked through: blobs written before `until`, for `functions`; None: for all."""

    until: datetime
    functions: frozenset[str] | None


class _Stored(msgspec.Struct, kw_only=True):
    latest: datetime = msgspec.field(name="LatestScan")
    functions: list[str] | None = msgspec.field(name="FuncPyFunctions", default=None)


_decode = msgspec.json.Decoder(_Stored).decode


class ScanInfo:
    """The record of one container. Every method may raise StorageError.

    Args:
        connections: Where the client comes from; the record is in the host's own storage.
        host_id: The same for all hosts of an app.
        container: The container that is looked through.

    Raises:
        ConnectionSettingError: There is no such storage.
    """

    def __init__(
        self, connections: StorageConnections, host_id: str, container: ContainerClient
    ) -> None:
        connected = connections.blobs("")
        self._home: ContainerClient = connected.client.get_container_client(_CONTAINER)
        self._answers: Answers = connected.answers
        place = f"{container.account_name}/{container.container_name}"
        self._name = f"blobscaninfo/{host_id}/{place}/scanInfo"

    async def read(self) -> Looked | None:
        """What is known; None when nothing is, or nobody can read it."""
        with self._answers.translated():
            try:
                download = await self._home.download_blob(self._name)
                stored = _decode(await download.readall())
            except (ResourceNotFoundError, msgspec.DecodeError):
                return None
        latest = stored.latest
        until = latest.astimezone(UTC) if latest.tzinfo else latest.replace(tzinfo=UTC)
        functions = None if stored.functions is None else frozenset(stored.functions)
        return Looked(until, functions)

    async def write(self, until: datetime, functions: Collection[str]) -> None:
        """Note what was looked through."""
        text = msgspec.json.encode(_Stored(latest=until, functions=sorted(functions)))
        with self._answers.translated():
            try:
                await self._home.upload_blob(self._name, text, overwrite=True)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    await self._home.create_container()
                await self._home.upload_blob(self._name, text, overwrite=True)

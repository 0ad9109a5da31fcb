"""The lease of a hub that all workers of one app share, as the official hosts keep it.

It is on a container; a blob in it says whose it is. Another official app may take it over: it
writes into that blob that it wants the lease, and needs the owner's id to change it.
"""

from __future__ import annotations

import json
import logging
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient

from func_py.durable.model.ids import fnv1a32
from func_py.durable.storage.azure.names import HubNames

log = logging.getLogger("func_py.durable.storage")

_DURATION_S = 60


def app_lease_id(app: str) -> str:
    """The lease that all workers of an app share: made of its name."""
    return str(uuid.UUID(bytes_le=fnv1a32(app).to_bytes(4, "little") + bytes(12)))


class AppLease:
    """The lease of one app on one hub."""

    def __init__(self, blobs: BlobServiceClient, names: HubNames, app: str) -> None:
        self._id = app_lease_id(app)
        self._hub = names.hub
        self._lease = BlobLeaseClient(blobs.get_container_client(names.app_lease), self._id)
        self._info: BlobClient = blobs.get_blob_client(names.app_lease, names.app_lease_info)
        self._is_ours: bool | None = None

    async def renew(self) -> bool:
        """Have it from now on, or go on having it; False when another app has it."""
        before = self._is_ours
        try:
            # Acquiring what one has renews it.
            await self._lease.acquire(_DURATION_S)
        except HttpResponseError as error:
            if error.status_code != 409:
                raise
            self._is_ours = False
            if before is not False:
                log.warning(
                    "Another app works on task hub '%s'; this one waits until it has ended. "
                    "With useAppLease: false in extensions.durableTask it would not.",
                    self._hub,
                )
            return False
        if not before:
            await self._sign()
        self._is_ours = True
        return True

    async def _sign(self) -> None:
        """Write whose the lease is."""
        try:
            info = json.loads(await (await self._info.download_blob()).readall())
        except (ResourceNotFoundError, ValueError):
            info = {}
        if info.get("OwnerId") != self._id:
            signed = {"OwnerId": self._id, "DesiredSwapId": info.get("DesiredSwapId")}
            await self._info.upload_blob(json.dumps(signed), overwrite=True)

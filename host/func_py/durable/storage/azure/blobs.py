"""What is too long for a message or a column: gzip blobs in the hub's container."""

from __future__ import annotations

import gzip
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import ContainerClient

from func_py.durable.storage.azure.names import escape_key

MAX_COLUMN_UNITS = 30_720
"""UTF-16 units; a column takes twice that many bytes, and the service a little more than that."""


def is_long(text: str | None) -> bool:
    """Does this value not fit into a column?"""
    if text is None or len(text) <= MAX_COLUMN_UNITS // 2:
        return False
    return len(text.encode("utf-16-le", "surrogatepass")) > 2 * MAX_COLUMN_UNITS


class LargePayloads:
    """The blobs of one hub. The container is made when the first one is stored."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    async def put(self, name: str, text: str) -> str:
        """Store a text; its absolute URL."""
        data = gzip.compress(text.encode(), mtime=0)
        try:
            await self._container.upload_blob(name, data, overwrite=True)
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):  # somebody else was faster
                await self._container.create_container()
            await self._container.upload_blob(name, data, overwrite=True)
        return self.url(name)

    async def get(self, name: str) -> str:
        """Read a text back."""
        stream = await self._container.download_blob(name)
        return gzip.decompress(await stream.readall()).decode()

    def url(self, name: str) -> str:
        """The absolute URL of a blob."""
        return f"{self._base}/{quote(name, safe='/')}"

    def name_in(self, text: str | None) -> str:
        """The blob of this container that a text refers to, when it is a URL; else empty."""
        if text is None or not text.startswith(f"{self._base}/"):
            return ""
        return unquote(urlsplit(text).path)[len(unquote(urlsplit(self._base).path)) + 1 :]

    async def delete_all(self, instance_id: str) -> None:
        """Delete what belongs to an instance."""
        # Not there: nothing was ever that long, or somebody else is deleting it.
        with suppress(ResourceNotFoundError):
            for prefix in {f"{instance_id}/", f"{escape_key(instance_id)}/"}:
                async for name in self._container.list_blob_names(name_starts_with=prefix):
                    await self._container.delete_blob(name)

    @property
    def _base(self) -> str:
        return str(self._container.url).partition("?")[0]

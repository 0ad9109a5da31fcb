"""What Event Grid tells of blobs, and its question whether this endpoint is meant for it.

An event may come twice, and at the same time as a look finds the blob: receipts keep it to one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from azure.storage.blob import BlobClient

from func_py.errors import StorageError
from func_py.storage.receipts import Receipts
from func_py.triggers.blobs import WatchedFunction

logger = logging.getLogger(__name__)

PREFIX = "/runtime/webhooks/blobs"
KEY = "blobs_extension"
"""Name of the system key of the endpoint."""

_CREATED = "Microsoft.Storage.BlobCreated"

Tell = Callable[[WatchedFunction, str, str], Awaitable[None]]
"""Sends the message that a function is to run for the blob of this name and ETag."""


class _Data(msgspec.Struct):
    url: str = ""
    etag: str = msgspec.field(name="eTag", default="")
    code: str = msgspec.field(name="validationCode", default="")


class _Event(msgspec.Struct):
    """In the schema of Event Grid (`eventType`), or a CloudEvent (`type`)."""

    event_type: str = msgspec.field(name="eventType", default="")
    type: str = ""
    data: _Data | str | None = None


_decode = msgspec.json.Decoder(list[_Event] | _Event).decode
_decode_data = msgspec.json.Decoder(_Data).decode


class BlobEvents:
    """Answers Event Grid. It repeats what is not answered with success.

    Args:
        functions: Who wants to be told.
        receipts: Who was told already.
        tell: Tells them.
    """

    def __init__(
        self, functions: Sequence[WatchedFunction], receipts: Receipts, tell: Tell
    ) -> None:
        self._functions = {function.id.lower(): function for function in functions}
        self._receipts = receipts
        self._tell = tell

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, whose query says `functionName=Host.Functions.<name>`."""
        function = self._functions.get(request.query.get("functionName", "").lower())
        if function is None:
            text = "No blob function with the source EventGrid has this functionName."
            return web.Response(status=HTTPStatus.NOT_FOUND, text=text)
        if request.method == "OPTIONS":
            origin = request.headers.get("WebHook-Request-Origin", "*")
            return web.Response(headers={"WebHook-Allowed-Origin": origin})
        kind = request.headers.get("aeg-event-type", "").lower()
        if request.method != "POST" or kind not in ("subscriptionvalidation", "notification"):
            is_end = kind == "unsubscribe"
            return web.Response(status=HTTPStatus.ACCEPTED if is_end else HTTPStatus.BAD_REQUEST)
        try:
            events = _events(await request.read())
            if kind == "subscriptionvalidation":
                return _validated(function, events[0])
            blobs = [blob for event in events if (blob := _blob_of(function, event)) is not None]
        except (ValueError, IndexError) as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"No events: {error}")
        return await self._told(function, blobs)

    async def _told(
        self, function: WatchedFunction, blobs: Sequence[tuple[str, str]]
    ) -> web.Response:
        try:
            for name, etag in blobs:
                key = f'"{etag}"/{function.pattern.container}/{name}'
                tell = self._telling(function, name, etag)
                if not await self._receipts.tell_once(function.id, key, tell):
                    # Somebody else is at it, and may die of it.
                    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        except StorageError as error:
            logger.warning("'%s' could not be told of a blob: %s", function.id, error)
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(status=HTTPStatus.ACCEPTED)

    def _telling(
        self, function: WatchedFunction, name: str, etag: str
    ) -> Callable[[], Awaitable[None]]:
        return lambda: self._tell(function, name, etag)


def _events(body: bytes) -> Sequence[_Event]:
    found = _decode(body)
    return found if isinstance(found, list) else [found]


def _data_of(event: _Event) -> _Data:
    # In the question of a subscription to CloudEvents it is text that holds JSON.
    if isinstance(event.data, str):
        return _decode_data(event.data)
    return event.data or _Data()


def _validated(function: WatchedFunction, event: _Event) -> web.Response:
    code = _data_of(event).code
    if not code:
        raise ValueError("there is no validationCode")
    logger.info("Event Grid asked whether '%s' is to be told of blobs; it is.", function.id)
    return web.json_response({"validationResponse": code})


def _blob_of(function: WatchedFunction, event: _Event) -> tuple[str, str] | None:
    """Name and ETag of the blob that was written, if the function wants it."""
    if (event.event_type or event.type) != _CREATED:
        return None
    data = _data_of(event)
    blob = BlobClient.from_blob_url(data.url)
    pattern = function.pattern
    if blob.container_name != pattern.container or pattern.match(blob.blob_name) is None:
        return None
    return str(blob.blob_name), data.etag.strip('"')

"""Queues of Azure Storage, with the encoding and the words of the queue bindings."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from func_py.storage.answers import Answers
from func_py.storage.connections import StorageConnections
from func_py.storage.wakes import Wakes
from func_py_bindings.queue import QueueDelivery


@dataclass(frozen=True, slots=True)
class Received:
    """A message that is hidden for a while. `delivery` None: it is not encoded as it should be."""

    message: QueueMessage
    delivery: QueueDelivery | None

    @property
    def id(self) -> str:
        """The message's id."""
        return str(self.message.id)

    @property
    def dequeue_count(self) -> int:
        """How often it was received, this time included."""
        return int(self.message.dequeue_count or 0)


class Queues:
    """Queues by connection and name.

    Args:
        connections: Where the clients come from.
        wakes: Told of what is sent.
        is_base64: Whether bodies are in base64 on the wire.
    """

    def __init__(self, connections: StorageConnections, wakes: Wakes, *, is_base64: bool) -> None:
        self._connections = connections
        self._wakes = wakes
        self._is_base64 = is_base64

    def queue(self, connection: str, name: str, *, is_base64: bool | None = None) -> Queue:
        """A queue, which need not exist. `is_base64` None: as the app's messages are.

        Raises:
            ConnectionSettingError: The connection cannot be used.
        """
        connected = self._connections.queues(connection)
        client = connected.client.get_queue_client(name)
        encoded = self._is_base64 if is_base64 is None else is_base64
        return Queue(client, connected.answers, self._wakes, is_base64=encoded)


class Queue:
    """One queue. Every method may raise StorageUnavailable and StorageError.

    What it does with a message raises LookupError when the message is not ours any more: it was
    received again after its time, or deleted.
    """

    def __init__(
        self, client: QueueClient, answers: Answers, wakes: Wakes, *, is_base64: bool
    ) -> None:
        self._client = client
        self._wakes = wakes
        self._is_base64 = is_base64
        self.answers = answers
        self.name: str = client.queue_name
        self.place: str = client.url.partition("?")[0]

    async def receive(self, most: int, hidden: timedelta) -> list[Received]:
        """Take up to `most` (32 at most) messages and hide them; none from a queue that is none."""
        with self.answers.translated():
            pages = self._client.receive_messages(
                messages_per_page=most, visibility_timeout=int(hidden.total_seconds())
            ).by_page()
            try:
                return [self._received(m) async for m in await anext(pages)]
            except (StopAsyncIteration, ResourceNotFoundError):
                return []

    async def send(self, body: bytes) -> None:
        """Put a message into the queue, which is made when it is none.

        Raises:
            ValueError: Without an encoding only text can be sent, and the body is none.
        """
        await self._put(self._encoded(body))

    async def send_again(self, message: QueueMessage) -> None:
        """Put a message of another queue into this one, as it is on the wire."""
        await self._put(message.content)

    async def hide(self, message: QueueMessage, span: timedelta) -> QueueMessage:
        """Hide a received message for `span` from now; the message as it is then."""
        with self.answers.translated():
            try:
                return await self._client.update_message(
                    message, visibility_timeout=int(span.total_seconds())
                )
            except ResourceNotFoundError as exc:
                raise LookupError(message.id) from exc

    async def delete(self, message: QueueMessage) -> None:
        """Remove a received message for good."""
        with self.answers.translated():
            try:
                await self._client.delete_message(message)
            except ResourceNotFoundError as exc:
                raise LookupError(message.id) from exc

    async def _put(self, text: str) -> None:
        with self.answers.translated():
            try:
                await self._client.send_message(text)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # Somebody else was quicker.
                    await self._client.create_queue()
                await self._client.send_message(text)
        self._wakes.ring(self.place)

    def _encoded(self, body: bytes) -> str:
        if self._is_base64:
            return base64.b64encode(body).decode("ascii")
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(
                f"a message for the queue '{self.name}' is no UTF-8 text; with the "
                "messageEncoding 'none' only text can be sent"
            ) from exc

    def _received(self, message: QueueMessage) -> Received:
        try:
            body = message.content.encode("utf-8")
            if self._is_base64:
                body = base64.b64decode(body, validate=True)
        except binascii.Error:
            return Received(message, None)
        return Received(
            message,
            QueueDelivery(
                id=str(message.id),
                body=body,
                dequeue_count=int(message.dequeue_count or 0),
                inserted_on=message.inserted_on,
                expires_on=message.expires_on,
                next_visible_on=message.next_visible_on,
                pop_receipt=str(message.pop_receipt),
            ),
        )

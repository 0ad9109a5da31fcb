"""One queue: put, take, hide, delete. Every message that is held has its newest pop receipt."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

MAX_TAKE = 32
"""Messages in one answer."""

MAX_HIDDEN = timedelta(days=6)
"""The service allows seven; the official extension lets no delay be longer than six."""

_NOT_IN_XML = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})


class Held:
    """A message of a queue that nobody else can see now, and the right to change it."""

    __slots__ = ("hidden_until", "id", "inserted_on", "receipt")

    def __init__(self, id: str, receipt: str, inserted_on: datetime, hidden_s: float) -> None:
        self.id = id
        self.receipt = receipt
        self.inserted_on = inserted_on
        """By the service's clock, of a resolution of one second."""
        self.hidden_until = time.monotonic() + hidden_s
        """By this process's monotonic clock."""


class Taken:
    """A message as it was got from the queue."""

    __slots__ = ("content", "held", "times")

    def __init__(self, held: Held, content: str, times: int) -> None:
        self.held = held
        self.content = content
        self.times = times
        """How often it was taken, this time included."""


def seconds(delay: timedelta) -> int:
    """A delay as the service takes it: whole seconds, rounded up, within its bounds."""
    return max(0, math.ceil(min(delay, MAX_HIDDEN).total_seconds()))


class MessageQueue:
    """A queue of a hub."""

    def __init__(self, client: QueueClient) -> None:
        self.client = client

    async def put(self, text: str, hidden_s: int = 0) -> Held:
        """Add a message that never expires; hidden ones are held by us."""
        sent = await self.client.send_message(
            # The service speaks XML, which has no such characters.
            text.translate(_NOT_IN_XML) if "\ufffe" in text or "\uffff" in text else text,
            time_to_live=-1,
            visibility_timeout=hidden_s,
        )
        return Held(sent.id, sent.pop_receipt, sent.inserted_on, hidden_s)

    async def take(self, count: int, hidden_s: int) -> Sequence[Taken]:
        """Up to `count` (at most MAX_TAKE) messages that can be seen; they are hidden then."""
        pages = self.client.receive_messages(
            messages_per_page=min(count, MAX_TAKE), visibility_timeout=hidden_s
        ).by_page()
        async for page in pages:
            return [
                Taken(
                    Held(message.id, message.pop_receipt, message.inserted_on, hidden_s),
                    message.content or "",
                    message.dequeue_count or 1,
                )
                async for message in page
            ]
        return []

    async def count(self) -> int:
        """How many messages it has, hidden ones as well; never fewer than there are."""
        return (await self.client.get_queue_properties()).approximate_message_count or 0

    async def hide(self, held: Held, hidden_s: int, text: str | None = None) -> bool:
        """Hide for so long from now, 0: show at once; False when it is not ours any more."""
        try:
            updated = await self.client.update_message(
                held.id, held.receipt, content=text, visibility_timeout=hidden_s
            )
        except HttpResponseError as error:
            if _is_gone(error):
                return False
            raise
        held.receipt = updated.pop_receipt
        held.hidden_until = time.monotonic() + hidden_s
        return True

    async def delete(self, held: Held) -> bool:
        """Delete it; False when it is not ours any more."""
        try:
            await self.client.delete_message(held.id, held.receipt)
        except HttpResponseError as error:
            if _is_gone(error):
                return False
            raise
        return True

    async def show_all(self, held: Collection[Held]) -> None:
        """Let anybody have these at once."""
        await asyncio.gather(*(self.hide(each, 0) for each in held))


def _is_gone(error: HttpResponseError) -> bool:
    """It was deleted, or somebody took it after it had become visible."""
    return isinstance(error, ResourceNotFoundError) or error.error_code == "PopReceiptMismatch"

"""Which requests an entity serves in a turn: in the order they came, its lock's holder first.

While an entity is locked, what others ask stays in the inbox. Locks, and requests that were queued
with the state of an entity, come from other kinds of hosts that work on the same task hub.

Pure: reads no clock, stores nothing and runs no user code.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from func_py.durable.engine.slot import Item
from func_py.durable.model import (
    CONTINUE_EVENT,
    RELEASE_EVENT,
    REQUEST_EVENT,
    EntityRequest,
    EntityState,
    EventRaised,
    ExecutionTerminated,
    decode_release,
    decode_request,
)


class Requested(NamedTuple):
    """A request to an entity, and the mail that brought it; None: it was in the entity's queue."""

    item: Item | None
    request: EntityRequest

    @property
    def id(self) -> str:
        """Of the message, or of the request when there is none."""
        return self.request.id if self.item is None else self.item.message_id


class Choice(NamedTuple):
    """What a turn takes from an entity's inbox and queue."""

    operations: Sequence[Requested] = ()
    """To be run, in order."""
    lock: Requested | None = None
    """A request for the lock, which the entity grants after the operations."""
    words: Sequence[Item] = ()
    """Mail that has been heeded: releases, and the word to go on."""
    locked_by: str | None = None
    """Who holds the lock while the operations run."""
    queue: tuple[EntityRequest, ...] = ()
    """What stays in the entity's queue."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to do and nothing that was heeded."""
        return not self.operations and self.lock is None and not self.words

    @property
    def items(self) -> list[Item]:
        """All mail that the turn takes."""
        served = [*self.operations, *([] if self.lock is None else [self.lock])]
        return [*self.words, *(each.item for each in served if each.item is not None)]

    def first(self, count: int) -> Choice:
        """What is left of it when only so many operations were run."""
        if count == len(self.operations):
            return self
        unserved = [*self.operations[count:], *([] if self.lock is None else [self.lock])]
        queued = tuple(each.request for each in unserved if each.item is None)
        return self._replace(
            operations=self.operations[:count], lock=None, queue=(*queued, *self.queue)
        )


def deletion_in(items: Sequence[Item]) -> int:
    """How many items lie before the first that deletes the entity without asking its code.

    That is a purge; it travels as a termination.
    """
    for position, item in enumerate(items):
        if isinstance(item.event, ExecutionTerminated):
            return position
    return len(items)


def asked_of(entity: EntityState, items: Sequence[Item]) -> list[str]:
    """Names of the operations that wait for their turn; those that ask for the lock have none."""
    requests = list(entity.queue)
    for item in items:
        if isinstance(item.event, EventRaised) and item.event.name == REQUEST_EVENT:
            request = decode_request(item.event.input)
            requests += [] if request is None else [request]
    return [request.operation or "" for request in requests if not request.is_lock]


def choose(
    entity: EntityState, items: Sequence[Item], delivered: Collection[str], limit: int
) -> tuple[Choice, list[Item]]:
    """What an entity does now, and the items that mean nothing to it.

    Items that are in neither have to wait for the lock, or for the next turn.

    Args:
        entity: As the turn finds it.
        items: Its inbox, or the beginning of that when there is no lock and no queue.
        delivered: Ids of messages that an earlier turn took.
        limit: Most operations.
    """
    locked_by = entity.locked_by
    holders: list[Requested] = []
    others = [Requested(None, request) for request in entity.queue]
    words: list[Item] = []
    strays: list[Item] = []
    for item in items:
        name = item.event.name if isinstance(item.event, EventRaised) else None
        text = item.event.input if isinstance(item.event, EventRaised) else None
        if item.message_id in delivered:
            strays.append(item)
        elif name == REQUEST_EVENT and (request := decode_request(text)) is not None:
            ours = locked_by is not None and request.parent == locked_by
            (holders if ours else others).append(Requested(item, request))
        elif name == RELEASE_EVENT and (release := decode_release(text)) is not None:
            words.append(item)
            if release.parent == locked_by:
                locked_by = None
        elif name == CONTINUE_EVENT and entity.queue:
            words.append(item)
        else:
            strays.append(item)
    line = [*holders, *others]
    count = 0
    while (
        count < min(limit, len(line))
        and locked_by in (None, line[count].request.parent)
        and not line[count].request.is_lock
    ):
        count += 1
    lock = None
    left = line[count:]
    if left and left[0].request.is_lock and locked_by in (None, left[0].request.parent):
        lock = left.pop(0)
    queue = tuple(each.request for each in left if each.item is None)
    return Choice(line[:count], lock, words, locked_by, queue), strays

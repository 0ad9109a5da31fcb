"""The state of an entity, in the form that the official scheduler keeps it in.

It is the input of the entity's execution, in its history and in its row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from func_py.durable.model import EntityRequest, EntityState
from func_py.durable.storage.azure.members import time_text

log = logging.getLogger("func_py.durable.storage")

_RECENT = "funcPyRecent"
"""A member of our own: ids of the messages that the last turns took."""


def encode_entity(entity: EntityState, time: datetime) -> tuple[str, str]:
    """The input and the custom status that show the entity's state after a turn of this time."""
    state: dict[str, object] = {
        "exists": entity.exists,
        "state": entity.state,
        # .NET puts the requests of each sender in order, and holds back what it takes for early.
        # What was sent before this turn is in order, as far as it is concerned.
        "sorter": {"ReceiveHorizon": time_text(time)},
    }
    status: dict[str, object] = {"entityExists": True} if entity.exists else {}
    if entity.queue:
        state["queue"] = msgspec.to_builtins(entity.queue)
        status["queueSize"] = len(entity.queue)
    if entity.locked_by is not None:
        state["lockedBy"] = status["lockedBy"] = entity.locked_by
    if entity.recent:
        state[_RECENT] = list(entity.recent)
    return json.dumps(state, ensure_ascii=False), json.dumps(status)


def decode_entity(text: str | None) -> EntityState:
    """Read back an entity's state; one that cannot be read does not exist."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return EntityState()
    if not isinstance(found, dict):
        return EntityState()
    state = found.get("state")
    return EntityState(
        exists=bool(found.get("exists", state is not None)),
        state=state,
        recent=tuple(found.get(_RECENT) or ()),
        locked_by=found.get("lockedBy"),
        queue=tuple(_requests(found)),
    )


def _requests(found: Mapping[str, Any]) -> Iterator[EntityRequest]:
    """What .NET had taken and not served: in its queue, and held back because it came too early."""
    senders = ((found.get("sorter") or {}).get("ReceivedFromInstance") or {}).values()
    early = [buffered for sender in senders for buffered in (sender.get("Buffered") or {}).items()]
    for request in (
        *(found.get("queue") or ()),
        *(request for _, request in sorted(early, key=_when)),
    ):
        try:
            yield msgspec.convert(request, EntityRequest)
        except msgspec.ValidationError as error:
            log.error("A queued request to an entity cannot be read and is dropped: %s", error)


def _when(buffered: tuple[str, object]) -> str:
    return buffered[0]

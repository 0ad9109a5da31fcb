"""What .NET hosts want of the requests to entities, and what theirs say beyond the request.

.NET puts the requests of one sender in order, and drops those that come again, by times in them.
Here message ids do that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from func_py.durable.model import REQUEST_EVENT, EventRaised, Message, decode_request
from func_py.durable.storage.azure.members import EVENT_NUMBERS, time_text

_RAISED = EVENT_NUMBERS["EventRaised"]


def labelled(message: Message, position: int) -> Message:
    """A request of an orchestration to an entity, with the time by which .NET knows it again.

    Without one .NET takes it for a second delivery. The times of one sender must ascend.

    Args:
        message: Any message of a turn; others stay as they are.
        position: Among the messages of its turn.
    """
    event = message.event
    if (
        not message.instance_id.startswith("@")
        or not isinstance(event, EventRaised)
        or event.name != REQUEST_EVENT
        or not event.input
    ):
        return message
    time = time_text(event.timestamp + timedelta(microseconds=position))
    text = f'{event.input[:-1]},"Timestamp":"{time}"}}'
    return replace(message, event=replace(event, input=text))


def request_id(target: str, event: Mapping[str, Any]) -> str:
    """Names a request to an entity, by its members: the same when it was sent again.

    Empty for any other event.
    """
    if not target.startswith("@") or not _is_request(event):
        return ""
    request = decode_request(event.get("Input"))
    return "" if request is None else request.id


def _is_request(event: Mapping[str, Any]) -> bool:
    name = str(event.get("Name") or "").partition("@")[0]
    return event["EventType"] == _RAISED and name == REQUEST_EVENT

"""Rows of the history table: one for each event, as the official tools read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from func_py.durable.model import ExecutionCompleted, HistoryEvent
from func_py.durable.storage.azure.instances import check_text, plain_time
from func_py.durable.storage.azure.members import (
    DATES,
    OBJECTS,
    event_of,
    event_type,
    members_of,
    scheduled_id,
)

Row = Mapping[str, Any]

LONG_COLUMNS = (
    *("Name", "Input", "Result", "Output", "Reason", "Details"),
    *("Correlation", "FailureDetails", "Tags"),
)
"""Columns whose value goes to a blob when it is long; `<column>BlobName` has its name then."""

MAX_ROWS = 99
"""Event rows of one batch; the sentinel is the hundredth operation."""

MAX_BYTES = 3 * 1024 * 1024
"""Estimated size at which a batch is cut."""

SENTINEL = "sentinel"
"""Row key of the row that guards the history of an instance."""

_MESSAGE_ID = "FuncPyMessageId"


def row_key(position: int) -> str:
    """Row key of the event at this position of its execution, from 0."""
    return f"{position:016X}"


def row_of(
    event: HistoryEvent,
    *,
    key: str,
    instance_id: str,
    execution_id: str,
    position: int,
    next_id: int,
) -> dict[str, Any]:
    """The row of an event.

    Args:
        event: The event.
        key: The instance id, escaped.
        instance_id: Whose history it is.
        execution_id: Of that execution.
        position: In the execution's history, from 0.
        next_id: Number of the action that ends the execution, if this is that.
    """
    action = scheduled_id(event)
    if isinstance(event, ExecutionCompleted):
        action = next_id
    row: dict[str, Any] = {
        "PartitionKey": key,
        "RowKey": row_key(position),
        "EventType": event_type(event),
        "EventId": -1 if action is None else action,
        "IsPlayed": False,
        "_Timestamp": event.timestamp,
        "ExecutionId": execution_id,
    }
    for member, value in members_of(event, instance_id).items():
        if member in OBJECTS:
            row[member] = json.dumps(_untyped(value), ensure_ascii=False)
        elif value is not None:
            row[member] = value
    if event.message_id:
        row[_MESSAGE_ID] = event.message_id
    check_text(row)
    return row


def event_from(row: Row) -> HistoryEvent:
    """Read an event back; long columns are in place.

    Raises:
        UnknownEvent: There is no event of that type.
    """
    members: dict[str, Any] = dict(row)
    for member in OBJECTS:
        members[member] = json.loads(row.get(member) or "null")
    for member in DATES:
        if row.get(member) is not None:
            members[member] = plain_time(row[member])
    time: datetime = row.get("_Timestamp") or row["Timestamp"]
    common = {"timestamp": plain_time(time), "message_id": row.get(_MESSAGE_ID) or ""}
    return event_of(row["EventType"], int(row.get("EventId", -1)), common, members)


def estimated_bytes(row: Row) -> int:
    """Size of a row, as the official provider reckons it."""
    return 1024 + sum(2 * len(row[c]) for c in LONG_COLUMNS if row.get(c))


def _untyped(value: Any) -> Any:
    """Without type names: rows have none."""
    if isinstance(value, dict):
        return {member: _untyped(inner) for member, inner in value.items() if member != "$type"}
    return value

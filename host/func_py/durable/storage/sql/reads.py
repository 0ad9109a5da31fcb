"""What is read of instances: one by one, a page of a history, a page of a query."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from func_py.durable.model import ActivityTask
from func_py.durable.storage.base import (
    PAGE_BYTES,
    HistoryPage,
    InstancePage,
    InstanceQuery,
    Lease,
    Loaded,
    Mail,
    TaskKey,
)
from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.rows import (
    HistoryPosition,
    InstanceRow,
    encode_text,
    instance_rows,
    read_activity,
    read_history,
    read_instance,
    read_mail,
    text_rows,
    to_micros,
)
from func_py.errors import HistoryChanged, UserError

_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))

_position = msgspec.json.Decoder(tuple[int, str])


def load(connection: Connection, instance_id: str, *, history: bool) -> Loaded | None:
    """See `TaskHub.load`."""
    if history:
        row = connection.row("instance_with_history", instance_id, 0, PAGE_BYTES)
    else:
        row = connection.row("instance", instance_id)
    if row is None:
        return None
    state, token = read_instance(row[:11])
    if not history:
        return Loaded(state, token, [])
    events = read_history(text_rows.decode(row[11]))
    start = HistoryPosition(token.number, token.execution_id, token.turns, 0)
    return Loaded(state, token, events, start.after(events, token.history_length))


def history_page(
    connection: Connection, instance_id: str, after: HistoryPosition | None
) -> HistoryPage:
    """See `TaskHub.read_history`."""
    first = 0 if after is None else after.event
    row = connection.row("history_page", instance_id, first, PAGE_BYTES)
    if after is None:
        if row is None:
            return HistoryPage([])
        after = HistoryPosition(row[0], row[1], None, 0)
    if row is None or not after.is_of(*row[:3]):
        raise HistoryChanged(instance_id)
    events = read_history(text_rows.decode(row[4]))
    return HistoryPage(events, after.after(events, row[3]))


def whole_mail(connection: Connection, lease: Lease, message_id: str) -> Mail | None:
    """See `TaskHub.read_mail`."""
    row = connection.row("whole_message", message_id)
    return None if row is None else read_mail(row, lease.partition, lease.epoch)


def whole_activity(connection: Connection, key: TaskKey) -> ActivityTask | None:
    """See `TaskHub.read_activity`."""
    row = connection.row("whole_activity", key.instance_id, key.execution_id, key.task_id)
    if row is None:
        return None
    instance_id, execution_id, task_id, attempt, body, large_input = row
    task = read_activity((instance_id, execution_id, task_id, attempt, body, 0))
    return task if large_input is None else replace(task, input=large_input)


def query_page(
    connection: Connection, query: InstanceQuery, after: tuple[int, str] | None
) -> InstancePage:
    """See `TaskHub.query_instances`; `after` is what `decode_position` made of its token."""
    created_from = _FIRST if query.created_from is None else to_micros(query.created_from)
    created_to = _LAST if query.created_to is None else to_micros(query.created_to)
    after_time, after_id = after if after is not None else (_FIRST, "")
    rows = connection.document(
        instance_rows,
        "query_instances",
        query.prefix.startswith("@"),
        max(created_from, after_time),
        created_to,
        after_time,
        after_id,
        query.prefix,
        encode_text(sorted(query.statuses)) if query.statuses else "",
        query.page_size + 1,
        int(query.inputs),
        int(query.outputs),
    )
    more = len(rows) > query.page_size
    rows = rows[: query.page_size]
    return InstancePage(
        items=[read_instance(row)[0] for row in rows],
        continuation=_encode_position(rows[-1]) if more else "",
    )


def _encode_position(row: InstanceRow) -> str:
    return base64.urlsafe_b64encode(encode_text((row[5], row[1])).encode()).decode()


def decode_position(continuation: str) -> tuple[int, str] | None:
    """Creation time and id of the last item given; None at the beginning.

    Raises:
        UserError: The token is none of ours.
    """
    if not continuation:
        return None
    try:
        return _position.decode(base64.urlsafe_b64decode(continuation))
    except ValueError as error:
        raise UserError("The continuation token is not one that this task hub gave.") from error

"""Units of writing that are all or nothing, and the batch that stores many of them together.

A batch executes each statement once for all its changes. When the counts show that a row was not
hit, the batch is undone and its changes are stored one by one, so that the one that lost is found
and harms no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from func_py.durable.model import (
    ExecutionStarted,
    Message,
    RuntimeStatus,
    encode_event,
    pending_state,
)
from func_py.durable.model.state import InstanceState
from func_py.durable.storage.base import Committed, Lost, LostReason, Mail, Turn
from func_py.durable.storage.sql.connection import Connection
from func_py.durable.storage.sql.queries import Row
from func_py.durable.storage.sql.rows import (
    SqlToken,
    activity_row,
    encode_text,
    history_rows,
    new_instance_row,
    origin_of,
    progress_text,
    to_micros,
)
from func_py.errors import InstanceAlreadyExists

PartitionOf = Callable[[str], int]

_STATEMENTS: dict[str, LostReason | None] = {
    "fence_partitions": LostReason.FENCED,
    "insert_instances": LostReason.STALE,
    "update_instances": LostReason.STALE,
    "upsert_origins": None,
    "delete_messages": LostReason.MISSING,
    "delete_activities": LostReason.MISSING,
    "delete_histories": None,
    "insert_history": None,
    "delete_timers_of_instances": None,
    "delete_timers": None,
    "insert_timers": None,
    "delete_activities_of_executions": None,
    "insert_activities": None,
}
"""What a batch executes, in order, before it inserts messages. A statement with a reason must hit
every row; a change that does not is lost for that reason."""

_WORDS = {
    LostReason.FENCED: "the partition is held under another lease",
    LostReason.STALE: "the instance was changed, replaced or deleted by somebody else",
    LostReason.MISSING: "a message or activity that the turn took is not stored any more",
}


class Missed(Exception):
    """A statement did not hit every row; the batch must be undone."""

    def __init__(self, reason: LostReason | None) -> None:
        self.reason = reason


class Posted(NamedTuple):
    """A message to be stored; a start message comes with the record it begins."""

    message: Message
    partition: int
    body: str
    born: InstanceState | None = None


class Change:
    """Rows per statement, messages, and afterwards the outcome."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.messages: list[Posted] = []
        self.outcome: Committed | Lost | Exception | None = None

    def add(self, statement: str, *rows: Row) -> None:
        """Have the statement executed on these rows."""
        self.rows.setdefault(statement, []).extend(rows)

    def clear_way(self, connection: Connection) -> None:
        """Before this change is stored alone: remove what it replaces, drop what is there.

        A start message for an id that exists replaces a finished instance. Beside a live one the
        message is stored without a record of its own: its owner decides.
        """
        begun: set[str] = set()
        for at, posted in enumerate(self.messages):
            born = posted.born
            if born is None:
                continue
            found = connection.row("instance_status", born.instance_id)
            if born.instance_id in begun or (
                found is not None
                and (found[0] == born.execution_id or not RuntimeStatus(found[1]).is_terminal)
            ):
                self.messages[at] = posted._replace(born=None)
            elif found is not None:
                delete_instance(connection, born.instance_id)
            begun.add(born.instance_id)

    def missed(self, reason: LostReason | None) -> None:
        """Stored alone, a statement did not hit."""
        assert reason is not None
        self.outcome = Lost(reason, _WORDS[reason])

    def stored(self) -> None:
        """The change is in the transaction."""

    def post(self, message: Message, partition_of: PartitionOf) -> None:
        """Have a message stored, and with a start message the record of the new instance."""
        event = message.event
        born = None
        if isinstance(event, ExecutionStarted):
            born = pending_state(message.instance_id, event)
        body = encode_event(event).decode()
        partition = partition_of(message.instance_id)
        self.messages.append(Posted(message, partition, body, born))


class SendChange(Change):
    """Messages of a client: all or none."""

    def __init__(self, messages: Sequence[Message], partition_of: PartitionOf) -> None:
        super().__init__()
        for message in messages:
            self.post(message, partition_of)


class CreateChange(Change):
    """A new instance with its start message, under the reuse policy."""

    def __init__(
        self,
        state: InstanceState,
        start: Message,
        reusable: Collection[RuntimeStatus],
        partition_of: PartitionOf,
    ) -> None:
        super().__init__()
        self._state = state
        self._reusable = reusable
        self.post(start, partition_of)
        self.messages[0] = self.messages[0]._replace(born=state)

    def clear_way(self, connection: Connection) -> None:
        """Apply the reuse policy; raises InstanceAlreadyExists."""
        state = self._state
        found = connection.row("instance_status", state.instance_id)
        if found is None:
            return
        execution_id, status = found
        if execution_id == state.execution_id:
            # The same call again, after an answer that got lost.
            self.messages = []
        elif RuntimeStatus(status) in self._reusable:
            delete_instance(connection, state.instance_id)
        else:
            raise InstanceAlreadyExists(state.instance_id, status)


class TurnChange(Change):
    """One turn of the engine."""

    def __init__(self, turn: Turn, host_id: str, partition_of: PartitionOf) -> None:
        super().__init__()
        state = turn.state
        lease = turn.lease
        instance_id = state.instance_id
        token = turn.token
        assert token is None or isinstance(token, SqlToken)
        origin = origin_of(state)
        turns = 0 if token is None else token.turns
        first = 0 if token is None or turn.replaces_history else token.history_length
        length = first + len(turn.events)
        self._token = SqlToken(state.execution_id, turns + 1, length, origin)

        self.add("fence_partitions", (lease.partition, lease.epoch, host_id))
        if token is None:
            self.add("insert_instances", new_instance_row(state, 1, length))
        else:
            self.add(
                "update_instances",
                (
                    instance_id,
                    token.execution_id,
                    turns,
                    state.execution_id,
                    length,
                    state.status.value,
                    progress_text(state),
                ),
            )
            if turn.replaces_history:
                self.add("delete_histories", (instance_id,))
            if turn.replaces_history or state.status.is_terminal:
                self.add("delete_timers_of_instances", (instance_id,))
            if turn.ended_timers:
                ended = [(instance_id, token.execution_id, task) for task in turn.ended_timers]
                self.add("delete_timers", *ended)
            if turn.drop_activities:
                self.add("delete_activities_of_executions", (instance_id, token.execution_id))
        if token is None or token.origin != origin:
            self.add("upsert_origins", (instance_id, encode_text(origin)))
        if turn.consumed:
            self.add("delete_messages", *[(message_id,) for message_id in turn.consumed])
        if turn.taken:
            taken = [(key.instance_id, key.execution_id, key.task_id) for key in turn.taken]
            self.add("delete_activities", *taken)
        if turn.events:
            self.add("insert_history", *history_rows(instance_id, first, turn.events))
        if turn.timers:
            timers = [
                (t.instance_id, t.execution_id, t.task_id, lease.partition, to_micros(t.fire_at))
                for t in turn.timers
            ]
            self.add("insert_timers", *timers)
        if turn.activities:
            calls = [activity_row(task, lease.partition, host_id) for task in turn.activities]
            self.add("insert_activities", *calls)
        for message in turn.messages:
            self.post(message, partition_of)

    def stored(self) -> None:
        """See `Change.stored`."""
        self.outcome = Committed(self._token)

    @property
    def answer(self) -> Committed | Lost:
        """What `commit` answers, once the change was in a transaction."""
        assert isinstance(self.outcome, Committed | Lost)
        return self.outcome


class Batch:
    """Many changes on their way into one transaction.

    Args:
        changes: In the order in which their messages are to be delivered.
        alone: Whether it is a single change; then a message that is not stored, because it is
            there already or has no target, is no reason to undo the batch.
    """

    def __init__(self, changes: Sequence[Change], *, alone: bool = False) -> None:
        self._changes = changes
        self._alone = alone
        self._posted = [posted for change in changes for posted in change.messages]
        self._rows: dict[str, list[Row]] = {name: [] for name in _STATEMENTS}
        for change in changes:
            for name, rows in change.rows.items():
                self._rows[name] += rows
        for posted in self._posted:
            if posted.born is not None:
                born = posted.born
                self._rows["insert_instances"].append(new_instance_row(born, 0, 0))
                self._rows["upsert_origins"].append(
                    (born.instance_id, encode_text(origin_of(born)))
                )
        # Turns of one partition share its fence.
        self._rows["fence_partitions"] = list(dict.fromkeys(self._rows["fence_partitions"]))

    def store(self, connection: Connection, held: Mapping[int, int]) -> list[Mail]:
        """Execute everything; raises Missed, or what the driver raises for a refused value.

        Args:
            connection: In a transaction.
            held: Partition to epoch, for those whose mail is delivered in memory.

        Returns:
            The mail for partitions that are held.
        """
        for name, reason in _STATEMENTS.items():
            rows = self._rows[name]
            if rows:
                hit = connection.execute_rows(name, rows)
                if reason is not None and hit != len(rows):
                    raise Missed(reason)
        mail = [m for m in self._store_messages(connection, held) if m is not None]
        for change in self._changes:
            change.stored()
        return mail

    def _store_messages(self, connection: Connection, held: Mapping[int, int]) -> list[Mail | None]:
        rows = [_message_row(posted, held) for posted in self._posted]
        if self._alone:
            pairs = zip(self._posted, rows, strict=True)
            return [
                _mail(posted, held)
                for posted, row in pairs
                if connection.execute_rows("insert_messages", [row]) == 1
            ]
        if rows and connection.execute_rows("insert_messages", rows) != len(rows):
            raise Missed(None)
        return [_mail(posted, held) for posted in self._posted]


def _message_row(posted: Posted, held: Mapping[int, int]) -> Row:
    message = posted.message
    return (
        message.id,
        posted.partition,
        message.instance_id,
        message.execution_id,
        message.sender,
        posted.body,
        held.get(posted.partition, 0),
    )


def _mail(posted: Posted, held: Mapping[int, int]) -> Mail | None:
    epoch = held.get(posted.partition)
    if epoch is None:
        return None
    born = posted.born
    token = None if born is None else SqlToken(born.execution_id, 0, 0, origin_of(born))
    return Mail(partition=posted.partition, epoch=epoch, message=posted.message, token=token)


def delete_instance(connection: Connection, instance_id: str) -> None:
    """Delete an instance and all that belongs to it."""
    for name in (
        "delete_instance",
        "delete_origin",
        "delete_history",
        "delete_messages_of_instance",
        "delete_timers_of_instance",
        "delete_activities_of_instance",
    ):
        connection.execute(name, instance_id)

"""Units of writing that are all or nothing, and the batch that stores many of them together.

A batch executes each statement once for all its changes. When the counts show that a row was not
hit, the batch is undone and its changes are stored one by one, so that the one that lost is found
and harms no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from func_py.durable.model import (
    ExecutionStarted,
    Message,
    RuntimeStatus,
    encode_event,
    pending_state,
    without_payload,
)
from func_py.durable.model.state import InstanceState
from func_py.durable.storage.base import Committed, Lost, LostReason, Mail, TaskKey, Turn
from func_py.durable.storage.sql.connection import Connection, Step
from func_py.durable.storage.sql.queries import Row
from func_py.durable.storage.sql.rows import (
    SqlToken,
    activity_row,
    history_rows,
    new_instance_row,
    origin_of,
    origin_row,
    progress_values,
    to_micros,
)
from func_py.errors import InstanceAlreadyExists, InstanceNotFinished

_STATEMENTS: dict[str, LostReason | None] = {
    "fence_partitions": LostReason.FENCED,
    "insert_instances": LostReason.STALE,
    "update_instances": LostReason.STALE,
    "upsert_origins": None,
    "delete_messages": LostReason.MISSING,
    "delete_activities": LostReason.MISSING,
    "complete_activities": LostReason.MISSING,
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

_MESSAGES = "insert_messages"
"""The last statement of a batch. One that does not hit every row says nothing about a change."""

_WORDS = {
    LostReason.FENCED: "the partition is held under another lease",
    LostReason.STALE: "the instance was changed, replaced or deleted by somebody else",
    LostReason.MISSING: "a message or activity that it takes is not stored any more",
}


class Missed(Exception):
    """A statement did not hit every row; the batch must be undone."""

    def __init__(self, reason: LostReason | None) -> None:
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Site:
    """What preparing a change needs to know of the hub."""

    host_id: str
    partition_of: Callable[[str], int]
    """Raises ValueError for an id that cannot be one."""
    new_number: Callable[[], int]
    """Numbers a new record; no two are equal in the life of the hub."""
    payload_limit: int
    """Longer payloads have columns of their own."""


class Born(NamedTuple):
    """The record of a new instance."""

    number: int
    state: InstanceState
    payload_limit: int

    @property
    def token(self) -> SqlToken:
        """Fences the instance's first turn."""
        state = self.state
        return SqlToken(self.number, 0, state.execution_id, 0, origin_of(state))


class Posted(NamedTuple):
    """A message to be stored; a start message comes with the record it begins.

    `whole`: the event with its payload, where that is withheld; `message` and `body` are without.
    """

    message: Message
    partition: int
    body: str
    born: Born | None = None
    whole: str | None = None


class Change:
    """Rows per statement, messages, and afterwards the outcome."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        """What each statement is executed on."""
        self.messages: list[Posted] = []
        self.outcome: Committed | Lost | Exception | None = None

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
            instance_id = born.state.instance_id
            found = find_instance(connection, instance_id)
            if instance_id in begun or (
                found is not None
                and (found.execution_id == born.state.execution_id or not found.status.is_terminal)
            ):
                self.messages[at] = posted._replace(born=None)
            elif found is not None:
                delete_instance(connection, found.number, instance_id)
            begun.add(instance_id)

    def missed(self, reason: LostReason | None) -> None:
        """Stored alone, a statement did not hit."""
        assert reason is not None
        self.outcome = Lost(reason, _WORDS[reason])

    def stored(self) -> None:
        """The change is in the transaction."""

    def post(self, message: Message, site: Site) -> None:
        """Have a message stored, and with a start message the record of the new instance."""
        event = message.event
        state = None
        if isinstance(event, ExecutionStarted):
            state = pending_state(message.instance_id, event)
        self._post(message, state, site)

    def _post(self, message: Message, state: InstanceState | None, site: Site) -> None:
        limit = site.payload_limit
        born = None if state is None else Born(site.new_number(), state, limit)
        body = encode_event(message.event).decode()
        whole = None
        if len(body) > limit:
            light = without_payload(message.event, limit)
            if light is not None:
                message = replace(message, event=light)
                body, whole = encode_event(light).decode(), body
        partition = site.partition_of(message.instance_id)
        self.messages.append(Posted(message, partition, body, born, whole))


class SendChange(Change):
    """Messages of a client: all or none."""

    def __init__(self, messages: Sequence[Message], site: Site) -> None:
        super().__init__()
        for message in messages:
            self.post(message, site)


class CompleteChange(Change):
    """The result of an activity, in its place."""

    def __init__(self, key: TaskKey, result: Message, site: Site) -> None:
        super().__init__()
        row = (key.instance_id, key.execution_id, key.task_id, site.host_id)
        self.rows["complete_activities"] = [row]
        self.post(result, site)


class CreateChange(Change):
    """A new instance with its start message, under the reuse policy."""

    def __init__(
        self,
        state: InstanceState,
        start: Message,
        reusable: Collection[RuntimeStatus],
        site: Site,
    ) -> None:
        super().__init__()
        self._state = state
        self._reusable = reusable
        self._post(start, state, site)

    def clear_way(self, connection: Connection) -> None:
        """Apply the reuse policy; raises InstanceAlreadyExists."""
        state = self._state
        found = find_instance(connection, state.instance_id)
        if found is None:
            return
        if found.execution_id == state.execution_id:
            # The same call again, after an answer that got lost.
            self.messages = []
        elif found.status in self._reusable:
            delete_instance(connection, found.number, state.instance_id)
        else:
            raise InstanceAlreadyExists(state.instance_id, found.status.value)


class TurnChange(Change):
    """One turn of the engine."""

    def __init__(self, turn: Turn, site: Site) -> None:
        super().__init__()
        state = turn.state
        lease = turn.lease
        token = turn.token
        assert token is None or isinstance(token, SqlToken)
        origin = origin_of(state)
        number = site.new_number() if token is None else token.number
        turns = 0 if token is None else token.turns
        first = 0 if token is None or turn.replaces_history else token.history_length
        length = first + len(turn.events)
        limit = site.payload_limit
        self._token = SqlToken(number, turns + 1, state.execution_id, length, origin)

        rows = self.rows
        rows["fence_partitions"] = [(lease.partition, lease.epoch, site.host_id)]
        if token is None:
            rows["insert_instances"] = [new_instance_row(number, state, 1, length, limit)]
        else:
            progress, output = progress_values(state, limit)
            row = (number, turns, state.execution_id, length, str(state.status), progress, output)
            rows["update_instances"] = [row]
            if turn.replaces_history:
                rows["delete_histories"] = [(number,)]
            if turn.replaces_history or state.status.is_terminal:
                rows["delete_timers_of_instances"] = [(number,)]
            if turn.ended_timers:
                rows["delete_timers"] = [(number, task) for task in turn.ended_timers]
            if turn.drop_activities:
                rows["delete_activities_of_executions"] = [(number, token.execution_id)]
        if token is None or token.origin != origin:
            rows["upsert_origins"] = [origin_row(number, origin, limit)]
        if turn.consumed:
            rows["delete_messages"] = [(message_id,) for message_id in turn.consumed]
        if turn.taken:
            rows["delete_activities"] = [
                (number, key.execution_id, key.task_id) for key in turn.taken
            ]
        if turn.events:
            rows["insert_history"] = history_rows(number, first, turn.events)
        if turn.timers:
            rows["insert_timers"] = [
                (number, timer.task_id, lease.partition, to_micros(timer.fire_at))
                for timer in turn.timers
            ]
        if turn.activities:
            place = (lease.partition, site.host_id, limit)
            rows["insert_activities"] = [
                activity_row(number, call, *place) for call in turn.activities
            ]
        for message in turn.messages:
            self.post(message, site)

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
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        for change in changes:
            for name, rows in change.rows.items():
                self._rows[name] += rows
        for posted in self._posted:
            if posted.born is not None:
                number, state, limit = posted.born
                self._rows["insert_instances"].append(new_instance_row(number, state, 0, 0, limit))
                self._rows["upsert_origins"].append(origin_row(number, origin_of(state), limit))
        if "fence_partitions" in self._rows:
            # Turns of one partition share its fence.
            self._rows["fence_partitions"] = list(dict.fromkeys(self._rows["fence_partitions"]))

    def store(
        self,
        connection: Connection,
        held: Mapping[int, int],
        mail: list[Mail],
        *,
        ends: bool = False,
    ) -> None:
        """Execute everything; raises Missed, or what the driver raises for a refused value.

        Args:
            connection: In a transaction.
            held: Partition to epoch, for those whose mail is delivered in memory.
            mail: Receives that mail, for when the transaction is committed.
            ends: Nothing follows in the transaction.
        """
        messages = [_message_row(posted, held) for posted in self._posted]
        steps = [
            Step(name, self._rows[name], reason is not None)
            for name, reason in _STATEMENTS.items()
            if name in self._rows
        ]
        if messages and not self._alone:
            steps.append(Step(_MESSAGES, messages, True))
        if not self._alone:
            # Before it is done: when the answer to it is lost, this must be known.
            self._note_stored(self._posted, held, mail)
        for step, hit in zip(steps, connection.execute_all(steps, ends=ends), strict=True):
            if step.is_exact and hit != len(step.rows):
                raise Missed(_STATEMENTS.get(step.name))
        if self._alone:
            stored = [
                posted
                for posted, row in zip(self._posted, messages, strict=True)
                if connection.execute_rows(_MESSAGES, [row]) == 1
            ]
            self._note_stored(stored, held, mail)

    def _note_stored(
        self, stored: Sequence[Posted], held: Mapping[int, int], mail: list[Mail]
    ) -> None:
        mail += [m for m in (_mail(posted, held) for posted in stored) if m is not None]
        for change in self._changes:
            change.stored()


def _message_row(posted: Posted, held: Mapping[int, int]) -> Row:
    message = posted.message
    return (
        message.id,
        posted.partition,
        message.instance_id,
        message.execution_id,
        message.sender,
        posted.body,
        posted.whole,
        held.get(posted.partition, 0),
    )


def _mail(posted: Posted, held: Mapping[int, int]) -> Mail | None:
    epoch = held.get(posted.partition)
    if epoch is None:
        return None
    withheld = posted.whole is not None
    token = None if posted.born is None or withheld else posted.born.token
    return Mail(
        partition=posted.partition,
        epoch=epoch,
        message=posted.message,
        token=token,
        withheld=withheld,
    )


class Found(NamedTuple):
    """What of a stored instance decides whether it may go."""

    number: int
    execution_id: str
    status: RuntimeStatus


def find_instance(connection: Connection, instance_id: str) -> Found | None:
    """The stored instance, or None."""
    row = connection.row("instance_status", instance_id)
    return None if row is None else Found(row[0], row[1], RuntimeStatus(row[2]))


def delete_instance(connection: Connection, number: int, instance_id: str) -> None:
    """Delete an instance and all that belongs to it; an entity keeps the mail it is yet to get."""
    for name in (
        "delete_instance",
        "delete_origin",
        "delete_history",
        "delete_timers_of_instance",
        "delete_activities_of_instance",
    ):
        connection.execute(name, number)
    if not instance_id.startswith("@"):
        connection.execute("delete_messages_of_instance", instance_id)


def purge_instance(connection: Connection, instance_id: str) -> bool:
    """See `TaskHub.purge`."""
    found = find_instance(connection, instance_id)
    if found is None:
        return False
    if not found.status.is_terminal:
        raise InstanceNotFinished(instance_id, found.status.value)
    delete_instance(connection, found.number, instance_id)
    return True

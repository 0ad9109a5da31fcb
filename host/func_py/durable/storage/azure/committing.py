"""Commits a turn: messages first, then the history, then the row, then what the turn consumed.

The history is the checkpoint. Who dies before it has sent messages that are sent again; they have
the same ids, and a result whose task is not in history yet waits. Who dies after it leaves messages
that come again, and are in history already. Messages to partitions of ours stay hidden until the
history is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from func_py.durable.faults import reach
from func_py.durable.model import (
    ActivityTask,
    ExecutionStarted,
    HistoryEvent,
    InstanceState,
    Message,
    TimerFired,
    TimerTask,
)
from func_py.durable.storage.azure.account import answers
from func_py.durable.storage.azure.control import Control, Letter
from func_py.durable.storage.azure.entity_mail import labelled
from func_py.durable.storage.azure.history import Append, Checkpoint, HistoryConflict
from func_py.durable.storage.azure.instances import etag_of
from func_py.durable.storage.azure.messages import born_held
from func_py.durable.storage.azure.parts import Parts, gather_all, in_order
from func_py.durable.storage.azure.queues import Held
from func_py.durable.storage.azure.starts import Starts
from func_py.durable.storage.azure.store import InstanceToken, entity_events, shown_by
from func_py.durable.storage.azure.work_items import HeldCall
from func_py.durable.storage.base import Committed, Lease, Lost, LostReason, TaskKey, Turn
from func_py.errors import StorageError, StorageUnavailable


class _Outgoing(NamedTuple):
    """The texts of what a turn sends, in the order of the turn."""

    calls: Sequence[str]
    timers: Sequence[str]
    messages: Sequence[tuple[Message, int, str]]


class _Sent:
    """What was stored and is held: it is ours when the turn is committed, else deleted."""

    def __init__(self) -> None:
        self.calls: list[HeldCall] = []
        self.timers: list[tuple[TimerTask, Held]] = []
        self.letters: list[tuple[Control, Letter]] = []


class Committer:
    """Commits turns of partitions of ours."""

    def __init__(
        self,
        parts: Parts,
        starts: Starts,
        is_valid: Callable[[Lease], bool],
        look: Callable[[Control], Awaitable[None]],
    ) -> None:
        """`look` has all mail of a partition that can be seen now held and delivered."""
        self._parts = parts
        self._starts = starts
        self._is_valid = is_valid
        self._look = look

    async def commit(self, turn: Turn) -> Committed | Lost:
        """Commit one turn; raises StorageUnavailable."""
        control = self._parts.controls.get(turn.lease.partition)
        if control is None or control.lease != turn.lease or not self._is_valid(turn.lease):
            return Lost(LostReason.FENCED, f"partition {turn.lease.partition} is not ours")
        if any(m not in control for m in turn.consumed):
            with answers():
                await self._look(control)
        missing = [m for m in turn.consumed if m not in control]
        missing += [str(key.task_id) for key in turn.taken if key not in self._parts.work]
        if missing:
            return Lost(LostReason.MISSING, f"not stored any more: {', '.join(missing)}")
        numbers = [task.task_id for task in turn.activities]
        if len(set(numbers)) != len(numbers):
            return Lost(LostReason.REJECTED, "two activities have one number")
        sent = _Sent()
        try:
            with answers():
                outgoing = await self._encode(turn)
                _check(turn.state)
                await self._send(control, turn, outgoing, sent)
                reach("azure.sent")
                token = await self._record(turn)
        except HistoryConflict as error:
            self._take_back(control, sent)
            return Lost(LostReason.STALE, str(error))
        except StorageUnavailable:
            # What was sent comes again, and is dropped or belongs to the turn after all.
            raise
        except StorageError as error:
            self._take_back(control, sent)
            return Lost(LostReason.REJECTED, str(error))
        self._settle(control, turn, sent)
        for target, letter in sent.letters:
            if await self._parts.hold(target, letter):
                self._parts.deliver(target, [letter])
        return Committed(token)

    # ---- sending ---------------------------------------------------------------------------

    async def _encode(self, turn: Turn) -> _Outgoing:
        parts = self._parts
        nobody = await gather_all(parts.is_for_nobody(m) for m in turn.messages)
        messages = []
        for position, (sent, dropped) in enumerate(zip(turn.messages, nobody, strict=True)):
            if not dropped:
                message = labelled(sent, position)
                sequence = parts.numbers.next()
                messages.append((message, sequence, await parts.encode(message, sequence)))
        return _Outgoing(
            [await parts.work.encode(task, born_held(task)) for task in turn.activities],
            [
                await parts.encode(_fired(timer, turn), parts.numbers.next())
                for timer in turn.timers
            ],
            messages,
        )

    async def _send(self, control: Control, turn: Turn, outgoing: _Outgoing, sent: _Sent) -> None:
        groups: dict[str, list[Coroutine[Any, Any, None]]] = {}
        for message, sequence, text in outgoing.messages:
            group = groups.setdefault(message.instance_id, [])
            group.append(self._send_message(message, sequence, text, sent))
        calls = zip(turn.activities, outgoing.calls, strict=True)
        timers = zip(turn.timers, outgoing.timers, strict=True)
        await in_order(
            [
                *groups.values(),
                *([self._put_call(task, text, sent)] for task, text in calls),
                *([self._put_timer(control, timer, text, sent)] for timer, text in timers),
            ]
        )

    async def _put_call(self, task: ActivityTask, text: str, sent: _Sent) -> None:
        sent.calls.append(await self._parts.work.put(task, text))

    async def _put_timer(self, control: Control, timer: TimerTask, text: str, sent: _Sent) -> None:
        sent.timers.append((timer, await self._parts.put_timer(control, timer, text)))

    async def _send_message(self, message: Message, sequence: int, text: str, sent: _Sent) -> None:
        token = None
        if isinstance(message.event, ExecutionStarted):
            token = await self._starts.begin_child(message)
        control = self._parts.control_of(message.instance_id)
        if control is None:
            await self._parts.post(message, text)
            return
        letter = await self._parts.put_held(control, message, text, sequence)
        letter.token = token
        sent.letters.append((control, letter))

    def _take_back(self, control: Control, sent: _Sent) -> None:
        """Delete what nobody has seen yet."""
        parts = self._parts
        parts.delete_later(parts.work.queue, [call.held for call in sent.calls])
        parts.delete_later(control.queue, [held for _, held in sent.timers])
        for target, letter in sent.letters:
            parts.delete_later(target.queue, letter.held)

    # ---- recording -------------------------------------------------------------------------

    async def _record(self, turn: Turn) -> InstanceToken:
        """Write history and row; raises HistoryConflict when the turn is stale."""
        state = turn.state
        token = turn.token if isinstance(turn.token, InstanceToken) else None
        events: Sequence[HistoryEvent] = turn.events
        replaces = turn.replaces_history
        if state.entity is not None:
            events, replaces = entity_events(state, state.entity), True
        append = Append(
            instance_id=state.instance_id,
            execution_id=state.execution_id,
            events=events,
            expected=token.checkpoint if token is not None else None,
            replaces=replaces,
            status=state.status.value,
            before=token.execution_id if token is not None else state.execution_id,
        )
        checkpoint = await self._append(append, token)
        reach("azure.history_written")
        etag = await self._write_row(state, token)
        reach("azure.row_written")
        return InstanceToken(state.execution_id, etag, shown_by(state), checkpoint)

    async def _append(self, append: Append, token: InstanceToken | None) -> Checkpoint:
        """Append; the history of a former life, which .NET leaves where it is, is no conflict."""
        history = self._parts.history
        try:
            return await history.append(append)
        except HistoryConflict:
            if token is None or append.expected is not None:
                raise
            found = await history.checkpoint(append.instance_id)
            if found is None or found.execution_id in (append.execution_id, append.before):
                raise
            row = await self._parts.instances.read(append.instance_id)
            if row is None or row.get("ExecutionId") != token.execution_id:
                raise
            return await history.append(
                Append(
                    instance_id=append.instance_id,
                    execution_id=append.execution_id,
                    events=append.events,
                    expected=found,
                    replaces=True,
                    status=append.status,
                    before=append.before,
                )
            )

    async def _write_row(self, state: InstanceState, token: InstanceToken | None) -> str:
        """Show the new state; the row's ETag."""
        instances = self._parts.instances
        etag: str | None = token.row if token is not None else ""
        if token is not None and etag and token.shown == shown_by(state):
            return etag
        known = {state.execution_id, token.execution_id if token is not None else ""}
        etag = await (instances.merge(state, etag) if etag else instances.insert(state, None, ""))
        while etag is None:
            # A tool has changed the row, or somebody has started the instance anew.
            row = await instances.read(state.instance_id)
            if row is None or row.get("ExecutionId") not in known:
                raise HistoryConflict("the instance was replaced")
            etag = await instances.merge(state, etag_of(row))
        return etag

    # ---- afterwards ------------------------------------------------------------------------

    def _settle(self, control: Control, turn: Turn, sent: _Sent) -> None:
        """The turn is durable: hold what it made, delete what it consumed."""
        parts = self._parts
        state = turn.state
        gone = control.consume(turn.consumed)
        before = turn.token.execution_id if isinstance(turn.token, InstanceToken) else ""
        ended = [TaskKey(state.instance_id, before, number) for number in turn.ended_timers]
        if state.status.is_terminal:
            ended += control.execution_timers(state.instance_id, None)
        elif turn.replaces_history:
            ended += control.execution_timers(state.instance_id, before)
        gone += control.end_timers(ended)
        for timer, held in sent.timers:
            if state.status.is_terminal:
                gone.append(held)
            else:
                control.add_timer(timer, held)
        parts.delete_later(control.queue, gone)
        done = list(turn.taken)
        if turn.drop_activities:
            dropped = parts.work.held(
                lambda task: (task.instance_id, task.execution_id) == (state.instance_id, before)
            )
            done += [call.key for call in dropped]
        deleted = parts.work.take(done)
        for call in sent.calls:
            former = parts.work.adopt(call)
            if former is not None:
                deleted.append(former)
        parts.delete_later(parts.work.queue, deleted)


def _fired(timer: TimerTask, turn: Turn) -> Message:
    """The message that makes a timer fire when its owner does not live to do it."""
    message_id = f"{timer.execution_id}:timer:{timer.task_id}"
    return Message(
        id=message_id,
        instance_id=timer.instance_id,
        execution_id=timer.execution_id,
        sender=timer.instance_id,
        event=TimerFired(
            timestamp=turn.state.last_updated_at,
            message_id=message_id,
            task_id=timer.task_id,
            fire_at=timer.fire_at,
        ),
    )


def _check(state: InstanceState) -> None:
    """Raise UnicodeError when a text of the record is none."""
    for text in (state.input, state.output, state.custom_status, state.name, state.version):
        if text is not None:
            text.encode()

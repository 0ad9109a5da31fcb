"""What an instance still has to get, when its store cannot tell for sure.

Where there are no transactions, messages come again though they are in history, and nobody can list
timers that a former host has set. The history knows better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from func_py.durable.model import (
    ActivityTask,
    ExecutionStarted,
    HistoryEvent,
    InstanceState,
    LongTimers,
    Message,
    RuntimeStatus,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TimerTask,
)
from func_py.durable.moving.file import PendingLine


class Owed:
    """Puts right what a store says is pending, by the history of the current execution.

    Args:
        state: Of the instance.
        pending: What the store says.
        long_timers: How executions that begin on the hub cut timers.
    """

    def __init__(
        self, state: InstanceState, pending: PendingLine, long_timers: LongTimers | None = None
    ) -> None:
        self._state = state
        self._long_timers = long_timers
        self._pending = pending
        self._ids = {message.id for message in pending.mail}
        self._delivered = set(() if state.entity is None else state.entity.recent)
        self._timers: dict[int, TimerCreated] = {}
        self._calls: dict[int, TaskScheduled] = {}
        self._answered: set[int] = set()
        self._has_run = False

    def see(self, events: Iterable[HistoryEvent]) -> None:
        """Learn from the next events."""
        for event in events:
            self._has_run = True
            if event.message_id in self._ids:
                self._delivered.add(event.message_id)
            match event:
                case TimerCreated(task_id=task_id):
                    self._timers[task_id] = event
                case TimerFired(task_id=task_id):
                    self._timers.pop(task_id, None)
                case TaskScheduled(task_id=task_id):
                    self._calls[task_id] = event
                case TaskCompleted(task_id=task_id) | TaskFailed(task_id=task_id):
                    self._calls.pop(task_id, None)
                    self._answered.add(task_id)
                case _:
                    pass

    def pending(self) -> PendingLine:
        """What is pending, after all events were seen.

        A timer that was cancelled is in it: history does not say so, and when it fires it is
        ignored.
        """
        mail = [message for message in self._pending.mail if message.id not in self._delivered]
        is_new = not self._has_run and self._state.status is RuntimeStatus.PENDING
        if is_new and self._state.parent is None:
            mail = self._started(mail)
        return PendingLine(
            instance_id=self._state.instance_id,
            mail=mail,
            timers=self._open_timers(),
            activities=self._open_calls(mail),
        )

    def _started(self, mail: list[Message]) -> list[Message]:
        """With its start: a client that stored the record may not have lived to send that."""
        state = self._state
        if any(_is_start_of(message, state) for message in mail):
            return mail
        start = Message(
            id=state.execution_id,
            instance_id=state.instance_id,
            execution_id=state.execution_id,
            event=ExecutionStarted(
                timestamp=state.created_at,
                message_id=state.execution_id,
                name=state.name,
                execution_id=state.execution_id,
                input=state.input,
                version=state.version,
                tags=state.tags,
                trace=state.trace,
                long_timers=self._long_timers,
            ),
        )
        return [start, *mail]

    def _open_timers(self) -> list[TimerTask]:
        if self._state.status.is_terminal:
            return []
        timers = [
            TimerTask(
                instance_id=self._state.instance_id,
                execution_id=self._state.execution_id,
                task_id=task_id,
                fire_at=created.fire_at,
            )
            for task_id, created in self._timers.items()
        ]
        return sorted(timers, key=lambda timer: (timer.fire_at, timer.task_id))

    def _open_calls(self, mail: Sequence[Message]) -> list[ActivityTask]:
        """Those stored that have no answer yet, and those that should be stored and are not."""
        execution_id = self._state.execution_id
        answered = self._answered | {
            message.event.task_id
            for message in mail
            if isinstance(message.event, TaskCompleted | TaskFailed)
            and message.execution_id == execution_id
        }
        found = [
            call
            for call in self._pending.activities
            if call.execution_id != execution_id or call.task_id not in answered
        ]
        if self._state.status.is_terminal:
            return found
        known = {call.task_id for call in found if call.execution_id == execution_id}
        lost = [
            ActivityTask(
                instance_id=self._state.instance_id,
                execution_id=execution_id,
                task_id=task_id,
                name=event.name,
                input=event.input,
                attempt=2,  # it was in the hands of a host that died
            )
            for task_id, event in self._calls.items()
            if task_id not in known | answered
        ]
        return sorted([*found, *lost], key=lambda call: (call.execution_id, call.task_id))


def _is_start_of(message: Message, state: InstanceState) -> bool:
    event = message.event
    return isinstance(event, ExecutionStarted) and event.execution_id == state.execution_id

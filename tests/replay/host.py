"""A host in miniature for tests: one instance, a session, and the history a real engine writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from func_py.durable.engine.loader import closed_turns
from func_py.durable.model import (
    REQUEST_EVENT,
    EntityRequest,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    LongTimers,
    OrchestratorCompleted,
    OrchestratorStarted,
    RuntimeStatus,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    encode_request,
)
from func_py.durable.replay import Session, encode_start_input
from func_py.durable.replay.decisions import (
    HTTP_ACTIVITY_NAME,
    CallEntity,
    CallHttp,
    CancelTimer,
    Complete,
    ContinueAsNew,
    CreateTimer,
    Decision,
    Fail,
    Request,
    ScheduleActivity,
    SignalEntity,
    StartChild,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
INSTANCE = "instance-1"
EXECUTION = "execution-1"


_WRITTEN = (
    TaskScheduled,
    TimerCreated,
    SubOrchestrationCreated,
    EventSent,
    ExecutionCompleted,
    OrchestratorCompleted,
)


def recorded(decision: Decision, at: datetime) -> HistoryEvent | None:
    """The event that an engine writes for a decision; None for a cancelled timer."""
    match decision:
        case ScheduleActivity():
            return TaskScheduled(
                timestamp=at, task_id=decision.task_id, name=decision.name, input=decision.input
            )
        case CallHttp():
            return TaskScheduled(
                timestamp=at,
                task_id=decision.task_id,
                name=HTTP_ACTIVITY_NAME,
                input=decision.request,
            )
        case CreateTimer():
            return TimerCreated(timestamp=at, task_id=decision.task_id, fire_at=decision.fire_at)
        case StartChild():
            return SubOrchestrationCreated(
                timestamp=at,
                task_id=decision.task_id,
                name=decision.name,
                instance_id=decision.instance_id or f"{EXECUTION}:{decision.task_id}",
                input=encode_start_input(decision.input),
            )
        case CallEntity() | SignalEntity():
            request = EntityRequest(
                id=decision.request_id,
                operation=decision.operation,
                is_signal=isinstance(decision, SignalEntity),
                input=encode_start_input(decision.input),
            )
            return EventSent(
                timestamp=at,
                task_id=decision.task_id,
                instance_id=decision.instance_id,
                name=REQUEST_EVENT,
                input=encode_request(request),
            )
        case CancelTimer():
            return None
        case Complete():
            return ExecutionCompleted(
                timestamp=at, status=RuntimeStatus.COMPLETED, result=decision.output
            )
        case Fail():
            return ExecutionCompleted(
                timestamp=at,
                status=RuntimeStatus.FAILED,
                result=decision.failure.message,
                failure=decision.failure,
            )
        case ContinueAsNew():
            return ExecutionCompleted(
                timestamp=at, status=RuntimeStatus.CONTINUED_AS_NEW, result=decision.input
            )
        case _:
            assert_never(decision)


class Host:
    """Runs one execution turn by turn.

    `history` is what an engine would have stored; `open` are the requests without an answer;
    `turns` counts; `session` may be replaced by another one that was fed the history.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        value: Any = None,
        long_timers: LongTimers | None = None,
    ) -> None:
        self.function = function
        self.value = value
        self.long_timers = long_timers
        self.now = START
        self.history: list[HistoryEvent] = []
        self.decisions: list[Decision] = []
        self.cancelled: set[int] = set()
        self.open: dict[int, Request] = {}
        self.session = Session(function, INSTANCE)

    def start(self, *messages: HistoryEvent, stored_input: str | None = None) -> list[Decision]:
        """The first turn. `stored_input` overrides the input made from `value`."""
        if stored_input is None and self.value is not None:
            stored_input = encode_start_input(json.dumps(self.value))
        started = ExecutionStarted(
            timestamp=self.now,
            name="orchestrator",
            execution_id=EXECUTION,
            input=stored_input,
            long_timers=self.long_timers,
        )
        return self.turn(started, *messages)

    def turn(self, *messages: HistoryEvent) -> list[Decision]:
        """One live turn with those of the messages that can have an effect."""
        events = self.arrivals(messages)
        self.session.feed(events, played=False)
        decisions = self.session.take_decisions()
        self.commit(events, decisions)
        return decisions

    def arrivals(self, messages: Sequence[HistoryEvent]) -> list[HistoryEvent]:
        """The events of a turn that delivers the messages; moves the clock."""
        kept = [message for message in messages if self.session.expects(message)]
        due = [each.fire_at for each in kept if isinstance(each, TimerFired)]
        # Whole seconds, so that a test can tell timers by their microseconds.
        self.now = max([self.now, *due]).replace(microsecond=0) + timedelta(seconds=1)
        return [OrchestratorStarted(timestamp=self.now), *kept]

    def is_arrival(self, event: HistoryEvent) -> bool:
        """Whether a live turn was fed this event: it is none that the turn itself wrote."""
        return not isinstance(event, _WRITTEN)

    def commit(self, events: Sequence[HistoryEvent], decisions: Sequence[Decision]) -> None:
        """Write the turn to history, as an engine does."""
        written = [recorded(decision, self.now) for decision in decisions]
        self.history += events
        self.history += [event for event in written if event is not None]
        self.history.append(OrchestratorCompleted(timestamp=self.now))
        self.decisions += decisions
        for decision in decisions:
            if isinstance(decision, CancelTimer):
                self.cancelled.add(decision.task_id)
                self.open.pop(decision.task_id, None)
            elif isinstance(decision, Request) and not isinstance(decision, SignalEntity):
                self.open[decision.task_id] = decision

    def run_opened(self) -> list[Decision]:
        """Take over a history whose last turn was opened and not run, and run that turn."""
        closed = closed_turns(self.history)
        opened, self.history = self.history[closed:], self.history[:closed]
        self.session = self.recovered()
        self.session.feed(opened, played=False)
        decisions = self.session.take_decisions()
        self.commit(opened, decisions)
        return decisions

    def answer(self, task_id: int, value: Any = None, error: str | None = None) -> HistoryEvent:
        """The completion of an open request; a timer fires, whatever is given."""
        match self.open.pop(task_id):
            case CreateTimer(fire_at=fire_at):
                return TimerFired(timestamp=self.now, task_id=task_id, fire_at=fire_at)
            case CallEntity(request_id=name):
                answer = {"result": json.dumps(value if error is None else error)}
                if error is not None:
                    answer["exceptionType"] = "Error"
                return EventRaised(timestamp=self.now, name=name, input=json.dumps(answer))
            case StartChild():
                return self._child_end(task_id, value, error)
            case _:
                return self._activity_end(task_id, value, error)

    def _activity_end(self, task_id: int, value: Any, error: str | None) -> HistoryEvent:
        if error is not None:
            return TaskFailed(timestamp=self.now, task_id=task_id, reason=error, details="why")
        return TaskCompleted(timestamp=self.now, task_id=task_id, result=json.dumps(value))

    def _child_end(self, task_id: int, value: Any, error: str | None) -> HistoryEvent:
        if error is not None:
            return SubOrchestrationFailed(timestamp=self.now, task_id=task_id, reason=error)
        result = json.dumps(value)
        return SubOrchestrationCompleted(timestamp=self.now, task_id=task_id, result=result)

    def event(self, name: str, value: Any = None) -> EventRaised:
        """An external event, as the raw HTTP API stores it."""
        return EventRaised(timestamp=self.now, name=name, input=json.dumps(value))

    def suspend(self) -> ExecutionSuspended:
        return ExecutionSuspended(timestamp=self.now, reason="pause")

    def resume(self) -> ExecutionResumed:
        return ExecutionResumed(timestamp=self.now)

    def recovered(self) -> Session:
        """A new session, fed the stored history."""
        session = Session(self.function, INSTANCE)
        session.feed(self.history, played=True)
        return session

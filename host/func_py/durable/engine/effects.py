"""What decisions of the code become: history events, work to hand out, messages, the next state."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from func_py.durable.model import (
    REQUEST_EVENT,
    ActivityTask,
    EntityRequest,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    FailureDetails,
    GenericEvent,
    HistoryEvent,
    InstanceState,
    LongTimers,
    Message,
    ParentLink,
    RuntimeStatus,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskScheduled,
    TimerCreated,
    TimerTask,
    encode_request,
    instance_id_problem,
    own_trace,
    request_trace,
)
from func_py.durable.replay import encode_start_input
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
    ScheduleActivity,
    SignalEntity,
    StartChild,
)
from func_py.durable.storage.base import Turn


def derived_id(execution_id: str, what: object) -> str:
    """An id for something a turn makes up; the same when the turn runs again after a crash."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{execution_id}:{what}").hex


def failure_text(name: str, failure: FailureDetails) -> str:
    """The output of a failed orchestration, as the official extension words it."""
    return f"Orchestrator function '{name}' failed: {failure.message}"


def end(
    turn: Turn,
    history: list[HistoryEvent],
    time: datetime,
    status: RuntimeStatus,
    output: str | None,
    failure: FailureDetails | None = None,
) -> None:
    """End the execution: state, history and, for a child, the answer to its parent."""
    state = replace(
        turn.state,
        status=status,
        output=output,
        failure=failure,
        completed_at=time,
        last_updated_at=time,
    )
    turn.state = state
    history.append(
        ExecutionCompleted(timestamp=time, status=status, result=output, failure=failure)
    )
    if state.parent is not None:
        turn.messages = [*turn.messages, answer_to_parent(state, state.parent, time)]


def fail(turn: Turn, history: list[HistoryEvent], time: datetime, failure: FailureDetails) -> None:
    """End the execution as Failed."""
    text = failure_text(turn.state.name, failure)
    end(turn, history, time, RuntimeStatus.FAILED, text, failure)


def answer_to_parent(state: InstanceState, parent: ParentLink, time: datetime) -> Message:
    """What a finished child tells its parent; a terminated one has failed."""
    message_id = f"{state.execution_id}:end"
    event: HistoryEvent
    if state.status is RuntimeStatus.COMPLETED:
        event = SubOrchestrationCompleted(
            timestamp=time, message_id=message_id, task_id=parent.task_id, result=state.output
        )
    else:
        failure = state.failure
        event = SubOrchestrationFailed(
            timestamp=time,
            message_id=message_id,
            task_id=parent.task_id,
            reason=state.output or "",
            details=f"Message: {failure.message}, StackTrace: {failure.stack}" if failure else None,
            failure=failure,
        )
    return Message(
        id=message_id,
        instance_id=parent.instance_id,
        execution_id=parent.execution_id,
        sender=state.instance_id,
        event=event,
    )


def new_generation_wake(state: InstanceState, time: datetime) -> Message:
    """Has an execution run whose history was opened by the turn before."""
    wake = f"{state.execution_id}:wake"
    return Message(
        id=wake,
        instance_id=state.instance_id,
        execution_id=state.execution_id,
        sender=state.instance_id,
        event=GenericEvent(timestamp=time, message_id=wake),
    )


class Effects:
    """Collects what the decisions of one turn ask for and writes it into the turn."""

    def __init__(
        self,
        turn: Turn,
        history: list[HistoryEvent],
        time: datetime,
        default_version: str | None,
        *,
        traced: bool = False,
        long_timers: LongTimers | None = None,
    ) -> None:
        """`traced`: what the turn causes belongs to the span of the orchestration itself.
        `long_timers`: how executions that begin on this hub cut timers."""
        self._turn = turn
        self._history = history
        self._time = time
        self._default_version = default_version
        self._long_timers = long_timers
        self._trace = own_trace(turn.state) if traced else turn.state.trace
        self._activities: list[ActivityTask] = []
        self._timers: list[TimerTask] = []
        self._cancelled: set[int] = set()
        self._messages: list[Message] = []
        self.continued: ContinueAsNew | None = None
        """The code asked to start over; what becomes of the turn is the caller's business."""

    def apply(self, decisions: Sequence[Decision]) -> None:
        """Carry out the decisions, in order."""
        for decision in decisions:
            self._one(decision)
        turn = self._turn
        if turn.state.status.is_terminal or self.continued is not None:
            # Timers end with the execution; activities already asked for still run.
            self._timers = []
        if self._cancelled:
            turn.ended_timers = [*turn.ended_timers, *sorted(self._cancelled)]
        turn.activities = self._activities
        turn.timers = [t for t in self._timers if t.task_id not in self._cancelled]
        turn.messages = [*self._messages, *turn.messages]

    def _one(self, decision: Decision) -> None:
        time = self._time
        match decision:
            case ScheduleActivity(task_id=task_id, name=name, input=text):
                self._activity(task_id, name, text)
            case CallHttp(task_id=task_id, request=text):
                self._activity(task_id, HTTP_ACTIVITY_NAME, text)
            case CreateTimer(task_id=task_id, fire_at=fire_at):
                self._history.append(TimerCreated(timestamp=time, task_id=task_id, fire_at=fire_at))
                state = self._turn.state
                self._timers.append(
                    TimerTask(
                        instance_id=state.instance_id,
                        execution_id=state.execution_id,
                        task_id=task_id,
                        fire_at=fire_at,
                    )
                )
            case CancelTimer(task_id=task_id):
                self._cancelled.add(task_id)
            case StartChild():
                self._child(decision)
            case CallEntity() | SignalEntity():
                self._entity(decision)
            case Complete(output=output):
                end(self._turn, self._history, time, RuntimeStatus.COMPLETED, output)
            case Fail(failure=failure):
                fail(self._turn, self._history, time, failure)
            case ContinueAsNew():
                self.continued = decision
            case _:
                assert_never(decision)

    def _activity(self, task_id: int, name: str, text: str | None) -> None:
        self._history.append(
            TaskScheduled(timestamp=self._time, task_id=task_id, name=name, input=text)
        )
        state = self._turn.state
        self._activities.append(
            ActivityTask(
                instance_id=state.instance_id,
                execution_id=state.execution_id,
                task_id=task_id,
                name=name,
                input=text,
                trace=self._trace,
            )
        )

    def _child(self, decision: StartChild) -> None:
        state = self._turn.state
        task_id = decision.task_id
        child_id = decision.instance_id or f"{state.execution_id}:{task_id}"
        version = decision.version if decision.version is not None else self._default_version
        text = encode_start_input(decision.input)
        self._history.append(
            SubOrchestrationCreated(
                timestamp=self._time,
                task_id=task_id,
                name=decision.name,
                instance_id=child_id,
                input=text,
                version=version,
            )
        )
        problem = _child_problem(child_id, state)
        if problem is not None:
            self._messages.append(refusal(state, task_id, problem, self._time))
            return
        execution_id = derived_id(state.execution_id, f"child:{task_id}")
        start = ExecutionStarted(
            timestamp=self._time,
            message_id=execution_id,
            name=decision.name,
            execution_id=execution_id,
            input=text,
            version=version,
            parent=ParentLink(
                instance_id=state.instance_id,
                execution_id=state.execution_id,
                name=state.name,
                task_id=task_id,
            ),
            tags=state.tags,
            trace=self._trace,
            long_timers=self._long_timers,
        )
        self._messages.append(
            Message(
                id=execution_id,
                instance_id=child_id,
                execution_id=execution_id,
                sender=state.instance_id,
                event=start,
            )
        )

    def _entity(self, decision: CallEntity | SignalEntity) -> None:
        state = self._turn.state
        signal = isinstance(decision, SignalEntity)
        text = encode_request(
            EntityRequest(
                id=decision.request_id,
                operation=decision.operation,
                is_signal=signal,
                input=encode_start_input(decision.input),
                parent=state.instance_id,
                parent_execution=state.execution_id,
                trace=request_trace(self._trace),
            )
        )
        self._history.append(
            EventSent(
                timestamp=self._time,
                task_id=decision.task_id,
                instance_id=decision.instance_id,
                name=REQUEST_EVENT,
                input=text,
            )
        )
        message_id = f"{state.execution_id}:{decision.task_id}"
        self._messages.append(
            Message(
                id=message_id,
                instance_id=decision.instance_id,
                sender=state.instance_id,
                event=EventRaised(
                    timestamp=self._time, message_id=message_id, name=REQUEST_EVENT, input=text
                ),
            )
        )


def _child_problem(child_id: str, state: InstanceState) -> str | None:
    """Why a child cannot be started under this id, or None."""
    parents = {state.instance_id.casefold()}
    if state.parent is not None:
        parents.add(state.parent.instance_id.casefold())
    if child_id.casefold() in parents:
        return (
            "The instance ID of a sub-orchestration must be different than the instance ID of a "
            "parent orchestration."
        )
    return instance_id_problem(child_id)


def refusal(
    parent: InstanceState | ParentLink, task_id: int, problem: str, time: datetime
) -> Message:
    """The answer to a parent whose child could not be started."""
    message_id = f"{parent.execution_id}:{task_id}:refused"
    return Message(
        id=message_id,
        instance_id=parent.instance_id,
        execution_id=parent.execution_id,
        event=SubOrchestrationFailed(
            timestamp=time,
            message_id=message_id,
            task_id=task_id,
            reason=problem,
            failure=FailureDetails(type="ValueError", message=problem),
        ),
    )

"""One live execution of an orchestrator: history events in, decisions out.

The session gates events (early external events, suspension), matches what history records with
what the code asks for, and gives the rest to the SDK's own objects. It does no I/O, reads no clock
and imports no asyncio. A live turn and a recovery take the same path; see `Session.feed`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from func_py.durable.model import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from func_py.durable.replay.context import pending_tasks
from func_py.durable.replay.decisions import (
    CallEntity,
    CallHttp,
    CancelTimer,
    CreateTimer,
    Decision,
    Fail,
    Request,
    ScheduleActivity,
    StartChild,
)
from func_py.durable.replay.execution import Execution
from func_py.durable.replay.matching import (
    SchedulingEvent,
    describe,
    describe_event,
    entity_request,
    is_end_match,
    is_match,
)
from func_py.durable.replay.muting import muted
from func_py.durable.replay.sdk_event import sdk_event
from func_py.durable.replay.waiting import Wait, wait_of
from func_py.errors import InternalError, NonDeterminismError

Completion = (
    TaskCompleted | TaskFailed | SubOrchestrationCompleted | SubOrchestrationFailed | TimerFired
)

_COMPLETES: dict[type, tuple[type[Request], ...]] = {
    TaskCompleted: (ScheduleActivity, CallHttp),
    TaskFailed: (ScheduleActivity, CallHttp),
    SubOrchestrationCompleted: (StartChild,),
    SubOrchestrationFailed: (StartChild,),
    TimerFired: (CreateTimer,),
}

_SCHEDULES: dict[type, type[SchedulingEvent]] = {
    TaskCompleted: TaskScheduled,
    TaskFailed: TaskScheduled,
    SubOrchestrationCompleted: SubOrchestrationCreated,
    SubOrchestrationFailed: SubOrchestrationCreated,
    TimerFired: TimerCreated,
}

_NOTHING: tuple[Request | None, str] = (None, "")

# Measured: a small orchestrator's session, and each of its open tasks.
_SESSION_BYTES = 5_000
_TASK_BYTES = 500


class Session:
    """The live execution of one orchestration instance.

    A session belongs to one execution: continue-as-new needs a new one. It is not thread-safe.
    After NonDeterminismError, or when its turn could not be committed, it must be closed.

    Args:
        function: What the app registered (the SDK's handle, with the user's function at
            `orchestrator_function`), or a user's function itself.
        instance_id: The instance; ids that the code makes derive from it.
        input_type: Expected type of the input; None to take what the trigger declared.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        instance_id: str,
        *,
        input_type: type | None = None,
    ) -> None:
        self.is_suspended = False
        """Between Suspended and Resumed: the code sees nothing and its decisions are held back."""
        self.sticky = True
        """False when the code needs the whole history: replay it fully, in a new session, for each
        turn. Such a session runs when the first live events are fed. Known after ExecutionStarted.
        """
        self.cost = 0
        """Events fed so far: what a replay of this session would cost."""
        self._function = function
        self._instance_id = instance_id
        self._input_type = input_type
        self._started: OrchestratorStarted | None = None
        self._execution: Execution | None = None
        self._is_terminated = False
        self._has_ended = False
        # Asked for by the code and neither in history nor taken: task id → decision, place.
        self._pending: dict[int, tuple[Request, str]] = {}
        # External events that no wait has taken, by folded name, each with its index in history.
        self._early: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._held: list[tuple[int, HistoryEvent]] = []  # while suspended
        self._held_tasks: set[int] = set()
        self._late: list[tuple[int, HistoryEvent]] = []  # came after the code had ended
        self._deferred: list[tuple[HistoryEvent, bool]] | None = None  # until a live turn
        self._unread_bytes = 0
        self._peak_bytes = 0

    # ---- feeding ---------------------------------------------------------------------------

    def feed(self, events: Sequence[HistoryEvent], *, played: bool) -> None:
        """Let the code see events, in arrival order.

        A live turn is `OrchestratorStarted` and the messages delivered, in one call. A recovery
        feeds the stored history, cut anywhere, with `played`. The first two events of an execution
        are OrchestratorStarted and ExecutionStarted. An exception of user code is a `Fail`.

        Raises:
            NonDeterminismError: History records something else than the code asked for. Not when
                the code has raised: its own exception is the outcome then.
            InternalError: The events do not begin as an execution does, or a session that is not
                sticky is fed again after its live turn.
        """
        if not self.sticky and self._deferred is None:
            raise InternalError("this orchestrator needs a new session for each turn")
        for event in events:
            if self._deferred is None:
                self._take(event, played)
            else:
                self._deferred.append((event, played))
        if self._deferred is not None and not played:
            self._run_deferred(self._deferred)
        if not played and self._execution is not None:
            self._execution.end_turn()

    def _run_deferred(self, events: list[tuple[HistoryEvent, bool]]) -> None:
        """Run code that reads the whole history, now that its last turn is known."""
        self._deferred = None
        execution = self._running
        execution.context.visible_history[1:] = [sdk_event(event, p) for event, p in events]
        execution.context.is_history_whole = True
        for event, played in events:
            self._take(event, played)

    def _take(self, event: HistoryEvent, played: bool) -> None:
        index = self.cost
        self.cost += 1
        # The frequent ones first: a pattern that does not match costs as much as eight that do.
        match event:
            case OrchestratorStarted():
                if self._execution is None:
                    self._started = self._started or event
                else:
                    self._execution.begin_turn(event.timestamp)
            case TaskCompleted() | TimerFired() | EventRaised():
                self._message(index, event, played)
            case TaskScheduled() | TimerCreated() | SubOrchestrationCreated() | EventSent():
                self._match(index, event)
            case OrchestratorCompleted():
                self._end_played_turn()
            case ExecutionStarted():
                self._start(event, played)
            case ExecutionCompleted():
                self._match_end(index, event)
            case _:
                self._message(index, event, played)

    def _start(self, event: ExecutionStarted, played: bool) -> None:
        if self._execution is None:
            if self._started is None:
                raise InternalError("an execution must begin with OrchestratorStarted")
            self._execution = Execution(
                self._function,
                self._instance_id,
                self._started,
                event,
                played=played,
                input_type=self._input_type,
            )
            self._peak_bytes = len(event.input or "")
            self.sticky = not self._execution.reads_history
            if not self.sticky:
                self.cost -= 1  # counted when it is run
                self._deferred = [(event, played)]
                return
            self._execution.context.is_history_whole = False
        self._resume(event, played)

    def _message(self, index: int, event: HistoryEvent, played: bool) -> None:
        execution = self._running
        if self._is_terminated:
            return
        if execution.outcome is not None:
            self._late.append((index, event))
            return
        match event:
            case _ if isinstance(event, Completion) and not self.is_suspended:
                self._complete(event, played)
            case ExecutionTerminated():
                self._is_terminated = True
            case ExecutionResumed():
                held, self._held, self.is_suspended = self._held, [], False
                self._held_tasks.clear()
                for held_index, each in held:
                    self._message(held_index, each, played)
            case ExecutionSuspended():
                self.is_suspended = True
            case _ if self.is_suspended:
                self._held.append((index, event))
                if isinstance(event, Completion):
                    self._held_tasks.add(event.task_id)
            case EventRaised():
                self._raise(index, event, played)
            case _:
                pass  # says nothing to the code

    def _complete(self, event: Completion, played: bool) -> None:
        if self.expects(event):
            context = self._running.context
            del context.open_kinds[event.task_id]
            context.due.pop(event.task_id, None)
            self._resume(event, played)

    def _raise(self, index: int, event: EventRaised, played: bool) -> None:
        if self._wait_for(event.name) is None:
            self._early.setdefault(event.name.casefold(), deque()).append((index, event))
        else:
            self._resume(event, played)

    def _resume(self, event: HistoryEvent, played: bool) -> None:
        """Give an event to the code, then every early event that it waits for now."""
        self._play(event, played)
        while self._early and not self.is_done:
            ready = [queue[0] for queue in self._early.values() if self._wait_for(queue[0][1].name)]
            if not ready:
                return
            _, oldest = min(ready, key=lambda entry: entry[0])
            folded = oldest.name.casefold()
            self._early[folded].popleft()
            if not self._early[folded]:
                del self._early[folded]
            self._play(oldest, played)

    def _play(self, event: HistoryEvent, played: bool) -> None:
        execution = self._running
        translated = sdk_event(event, played)
        if isinstance(event, EventRaised):
            translated.Name = self._wait_for(event.name)
        awaited = execution.awaited
        execution.context.set_replaying(played)
        execution.resume(translated)
        self._measure(event, execution.awaited is not awaited)
        asked = execution.context.asked
        if asked:
            place = execution.location if played else ""
            for decision in asked:
                self._pending[decision.task_id] = (decision, place)
            asked.clear()

    def _wait_for(self, name: str) -> str | None:
        """The key under which the SDK holds an open wait for this name; ours ignore case."""
        context = self._running.context
        if name in context.open_tasks:
            return name
        for spelling in reversed(context.waits.get(name.casefold(), ())):
            if spelling in context.open_tasks:
                return spelling
        return None

    # ---- history against code --------------------------------------------------------------

    def _match(self, index: int, event: SchedulingEvent) -> None:
        """Take note that history holds what the code asked for."""
        request, place = self._pending.pop(event.task_id, _NOTHING)
        if request is None or not is_match(request, event):
            self._mismatch(index, event, request, place)
        elif isinstance(request, CallEntity) and isinstance(event, EventSent):
            # Histories of other hosts hold request ids that are not derived.
            recorded = entity_request(event).id
            if recorded and recorded != request.request_id:
                self._running.context.rekey_entity_call(request.request_id, recorded)

    def _match_end(self, index: int, event: ExecutionCompleted) -> None:
        outcome = self._running.outcome
        if is_end_match(outcome, event):
            self._has_ended = True
        else:
            self._mismatch(index, event, outcome, "")

    def _mismatch(
        self,
        index: int,
        event: SchedulingEvent | ExecutionCompleted,
        got: Decision | None,
        place: str,
    ) -> None:
        outcome = self._running.outcome
        if isinstance(outcome, Fail):
            return  # the code's own exception says more
        got = got or outcome
        if got is not None:
            words = describe(got)
        else:
            waits = ", ".join(self.waiting_for()[:3]) or "nothing"
            words = f"nothing of that number; it waits for {waits}"
        raise NonDeterminismError(index, describe_event(event), words, place or self.location)

    def _end_played_turn(self) -> None:
        self._running.end_turn()
        if not self.is_suspended:
            # Carried out by that turn: a cancelled timer leaves no event to match.
            self._running.context.cancelled.clear()

    # ---- what came out ---------------------------------------------------------------------

    def take_decisions(self) -> list[Decision]:
        """What the code asked for and history does not hold yet, each once.

        In task id order; a timer's CancelTimer right after its CreateTimer, the outcome last.
        Empty while the instance is suspended, unless the code has ended: decisions made in the same
        turn as the suspension are held back until Resumed.
        """
        execution = self._execution
        if execution is None or (self.is_suspended and execution.outcome is None):
            return []
        tasks: list[Request | CancelTimer] = [request for request, _ in self._pending.values()]
        self._pending.clear()
        if execution.context.cancelled:
            tasks += [CancelTimer(task_id=task_id) for task_id in execution.context.cancelled]
            tasks.sort(key=lambda each: each.task_id)  # stable: after its CreateTimer
            execution.context.cancelled.clear()
        decisions: list[Decision] = [*tasks]
        if execution.outcome is not None and not self._has_ended:
            self._has_ended = True
            decisions.append(execution.outcome)
        return decisions

    def expects(self, event: HistoryEvent) -> bool:
        """Whether the event can have an effect.

        False for a completion whose task is not open: a duplicate, or the firing of a timer that
        was cancelled. The engine drops it before it becomes history.
        """
        if not isinstance(event, Completion):
            return True
        if self._deferred is not None:
            return self._is_open_in(self._deferred, event)
        execution = self._execution
        return (
            execution is not None
            and not self.is_done
            and event.task_id not in self._held_tasks
            and execution.context.open_kinds.get(event.task_id) in _COMPLETES[type(event)]
        )

    @staticmethod
    def _is_open_in(events: list[tuple[HistoryEvent, bool]], completion: Completion) -> bool:
        """The same by what history says, for code that has not been run yet."""
        same_task = [
            each for each, _ in events if getattr(each, "task_id", None) == completion.task_id
        ]
        scheduled = any(isinstance(each, _SCHEDULES[type(completion)]) for each in same_task)
        return scheduled and not any(isinstance(each, Completion) for each in same_task)

    def undelivered(self) -> list[HistoryEvent]:
        """External events, and what was held for a suspension, that the code has not consumed.

        What a continue-as-new carries over, in arrival order. Completions belong to the execution
        and are left out.
        """
        waiting = [entry for queue in self._early.values() for entry in queue]
        entries: list[tuple[int, HistoryEvent]] = [*waiting, *self._held, *self._late]
        return [
            event
            for _, event in sorted(entries, key=lambda entry: entry[0])
            if not isinstance(event, Completion) and not self._is_entity_answer(event)
        ]

    def _is_entity_answer(self, event: HistoryEvent) -> bool:
        # The SDK keeps external waits in lists, open entity calls as single tasks.
        open_tasks = self._running.context.open_tasks
        return (
            isinstance(event, EventRaised)
            and event.name in open_tasks
            and not isinstance(open_tasks[event.name], list)
        )

    def waits(self) -> list[Wait]:
        """What the code waits for; empty when it has ended, or runs once its next turn is known."""
        execution = self._execution
        if execution is None or self.is_done:
            return []
        if execution.is_parked:
            words = f"nothing: the code yielded None at {execution.location}, which is no task"
            return [Wait(kind="nothing", text=words)]
        if execution.awaited is None:
            return []
        return [wait_of(task, execution.context.due) for task in pending_tasks(execution.awaited)]

    def waiting_for(self) -> list[str]:
        """The same in words for people."""
        return [wait.text for wait in self.waits()]

    def unawaited(self) -> list[EventRaised]:
        """External events that came and that no wait has taken, oldest first."""
        waiting = [entry for queue in self._early.values() for entry in queue]
        return [event for _, event in sorted(waiting, key=lambda entry: entry[0])]

    @property
    def is_done(self) -> bool:
        """The code has returned, raised or continued as new, or the instance was terminated."""
        return self._is_terminated or (
            self._execution is not None and self._execution.outcome is not None
        )

    @property
    def actions(self) -> int:
        """How many tasks the code has asked for so far."""
        return 0 if self._execution is None else self._execution.context.actions

    @property
    def custom_status(self) -> str | None:
        """JSON text of the custom status at the end of the last turn that had one, or None."""
        return None if self._execution is None else self._execution.custom_status

    @property
    def location(self) -> str:
        """`file:line` of the yield where the code stands, or empty."""
        return "" if self._execution is None else self._execution.location

    @property
    def size(self) -> int:
        """Estimated bytes held in memory."""
        open_tasks = 0 if self._execution is None else len(self._execution.context.open_tasks)
        buffered = 0
        if self._early:
            buffered = sum(
                len(event.input or "") for queue in self._early.values() for _, event in queue
            )
        return _SESSION_BYTES + _TASK_BYTES * open_tasks + buffered + self._peak_bytes

    def close(self) -> None:
        """Drop the code where it stands; what its `finally` blocks do is ignored. Idempotent."""
        if self._execution is not None:
            with muted():
                self._execution.close()

    def _measure(self, event: HistoryEvent, has_advanced: bool) -> None:
        """Keep the most that results weighed while the code waited for more of them.

        A sum of all results would drive long chains out of memory, at the price of long replays,
        although the code has dropped what it has read.
        """
        if isinstance(event, TaskCompleted | SubOrchestrationCompleted):
            self._unread_bytes += len(event.result or "")
        elif isinstance(event, EventRaised):
            self._unread_bytes += len(event.input or "")
        self._peak_bytes = max(self._peak_bytes, self._unread_bytes)
        if has_advanced:
            self._unread_bytes = 0

    @property
    def _running(self) -> Execution:
        if self._execution is None:
            raise InternalError("an execution must begin with ExecutionStarted")
        return self._execution

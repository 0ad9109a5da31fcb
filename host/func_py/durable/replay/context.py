"""The SDK's orchestration context, fed with our values instead of JSON text.

The SDK's own objects run the user's code, because users hold them in their hands. Only this module
and `executor` touch the SDK's private names; they decide nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from azure.durable_functions.models.actions.Action import Action
from azure.durable_functions.models.actions.CallActivityAction import CallActivityAction
from azure.durable_functions.models.actions.CallActivityWithRetryAction import (
    CallActivityWithRetryAction,
)
from azure.durable_functions.models.actions.CallEntityAction import CallEntityAction
from azure.durable_functions.models.actions.CallHttpAction import CallHttpAction
from azure.durable_functions.models.actions.CallSubOrchestratorAction import (
    CallSubOrchestratorAction,
)
from azure.durable_functions.models.actions.CallSubOrchestratorWithRetryAction import (
    CallSubOrchestratorWithRetryAction,
)
from azure.durable_functions.models.actions.CreateTimerAction import CreateTimerAction
from azure.durable_functions.models.actions.NoOpAction import NoOpAction
from azure.durable_functions.models.actions.SignalEntityAction import SignalEntityAction
from azure.durable_functions.models.actions.WaitForExternalEventAction import (
    WaitForExternalEventAction,
)
from azure.durable_functions.models.Task import AtomicTask, RetryAbleTask, TaskBase, TimerTask

from func_py.durable.model import ExecutionStarted, OrchestratorStarted
from func_py.durable.replay.decisions import (
    CallEntity,
    CallHttp,
    CreateTimer,
    Request,
    ScheduleActivity,
    SignalEntity,
    StartChild,
)
from func_py.durable.replay.explaining import ExplainingContext
from func_py.durable.replay.inputs import decode_start_input
from func_py.durable.replay.sdk_event import SdkEvent, sdk_event
from func_py_bindings.explained import explain_write
from func_py_bindings.json_text import plain_json


class RecordingContext(ExplainingContext):
    """The SDK's context, noting as a decision what the code asks for, when it asks.

    Each override calls the SDK's method, which gives the task ids, and notes what it did.
    `open_tasks` stays the SDK's; `open_kinds` says which completion each open task takes.
    """

    def __init__(
        self,
        instance_id: str,
        started: OrchestratorStarted,
        start: ExecutionStarted,
        *,
        played: bool,
        input_type: type | None,
    ) -> None:
        # The SDK's constructor reads the clock from `histories`.
        first = (started, start)
        self.visible_history: list[SdkEvent] = [sdk_event(event, played) for event in first]
        self.is_history_whole = True
        super().__init__(
            history=[],
            instanceId=instance_id,
            isReplaying=played,
            parentInstanceId=start.parent.instance_id if start.parent else None,
            input=decode_start_input(start.input),
            upperSchemaVersion=1,
            upperSchemaVersionNew=2,
            defaultHttpAsyncRequestSleepTimeMillseconds=30000,
        )
        self.orchestrator_name = start.name
        self._version = start.version
        self._input_expected_type = input_type
        if start.long_timers is not None:
            self._maximum_short_timer_duration = start.long_timers.longest
            self._long_timer_interval_duration = start.long_timers.interval
        self._execution_id = start.execution_id
        self.asked: list[Request] = []
        self.cancelled: list[int] = []
        self.open_kinds: dict[int, type[Request]] = {}
        self.due: dict[int, datetime] = {}
        self.waits: dict[str, list[str]] = {}
        self.next_input: str | None = None

    @property
    def actions(self) -> int:
        """How many tasks were made: their numbers count them."""
        number: int = self._sequence_number
        return number

    @property
    def histories(self) -> list[SdkEvent]:
        """See the SDK. A live session keeps no history, so its owner must ask for replay first."""
        if not self.is_history_whole:
            raise RuntimeError(
                "context.histories was read by code that the host could not see reading it. Read "
                "it in the orchestrator function itself: then each turn is a replay of all of it."
            )
        return self.visible_history

    def _set_is_replaying(self, is_replaying: bool) -> None:
        """Ignore the SDK's view, which takes a task that finished earlier for a replay."""

    def set_replaying(self, is_replaying: bool) -> None:
        """Set what `is_replaying` tells the user's code."""
        self._is_replaying = is_replaying

    def _add_to_actions(self, action_repr: Any) -> None:
        """Keep no action list: it grows with every step and only the wire protocol needs it."""

    def call_activity(self, name: Any, input_: Any = None, expected_type: Any = None) -> Any:
        """See the SDK, whose encoder is made anew for each input; for these it is not needed."""
        text = plain_json(input_)
        if text is None or type(name) is not str or not name:
            return super().call_activity(name, input_, expected_type)
        action = CallActivityAction.__new__(CallActivityAction)
        action.function_name = name
        action.input_ = text
        task = self._generate_task(action)
        task._expected_output_type = expected_type
        return task

    def _generate_task(
        self,
        action: Action,
        retry_options: Any = None,
        id_: Any = None,
        parent: Any = None,
        task_constructor: Any = AtomicTask,
    ) -> Any:
        if task_constructor is TimerTask:
            task_constructor = partial(_RecordingTimer, self)
        return super()._generate_task(action, retry_options, id_, parent, task_constructor)

    def _add_to_open_tasks(self, task: TaskBase) -> None:
        is_first = task.id is None or isinstance(task.id, str)
        super()._add_to_open_tasks(task)  # numbers it, and comes back for children of a compound
        if not is_first or not isinstance(task, AtomicTask) or self.will_continue_as_new:
            return
        action = task.action_repr
        if isinstance(action, CallActivityAction):
            # The most frequent first: checks that fail are slow, as actions have an abstract base.
            self._note(task.id, action)
        elif isinstance(action, WaitForExternalEventAction):
            spellings = self.waits.setdefault(plain_text(task.id).casefold(), [])
            if task.id in spellings:
                spellings.remove(task.id)
            spellings.append(task.id)
        elif isinstance(action, NoOpAction):
            self._note_retry(task)
        else:
            self._note(task.id, action)
            if isinstance(action, CallEntityAction):
                self.rekey_entity_call(task.id, self._request_id(task.id))

    def _record_fire_and_forget_action(self, action: Action) -> None:
        is_dropped = self.will_continue_as_new
        task_id = self._sequence_number
        super()._record_fire_and_forget_action(action)
        if is_dropped:
            return
        if isinstance(action, SignalEntityAction):
            self._note(task_id, action)
        else:
            self.next_input = action.input_

    def rekey_entity_call(self, key: int | str, request_id: str) -> None:
        """Make an open entity call wait for the answer named `request_id`."""
        self.open_tasks[request_id] = self.open_tasks.pop(key)

    def _note_retry(self, task: Any) -> None:
        """Note the hidden timer, or the further attempt, of a call with retry."""
        call: RetryAbleTask = task.parent
        if task.action_repr.metadata == "rescheduled task":
            self._note(task.id, call.actions)
            return
        delay = timedelta()
        # The SDK waits for one more timer after the last attempt; it fires at once.
        if call.num_attempts < call.retry_options.max_number_of_attempts:
            delay = timedelta(milliseconds=call.retry_options.first_retry_interval_in_milliseconds)
        self._note_timer(task.id, self.current_utc_datetime + delay)

    def _note_timer(self, task_id: int, fire_at: datetime) -> None:
        self.open_kinds[task_id] = CreateTimer
        self.due[task_id] = fire_at
        self.asked.append(CreateTimer(task_id=task_id, fire_at=fire_at))

    def _note(self, task_id: int, action: Any) -> None:
        decision: Request
        match action:
            case CallActivityAction() | CallActivityWithRetryAction():
                name = plain_text(action.function_name)
                decision = ScheduleActivity(task_id=task_id, name=name, input=action.input_)
            case CreateTimerAction():
                self._note_timer(task_id, printed_time(action.fire_at))
                if action.is_cancelled:
                    self.note_cancelled(task_id)
                return
            case CallSubOrchestratorAction() | CallSubOrchestratorWithRetryAction():
                child_id = plain_text(action.instance_id or "")
                decision = StartChild(
                    task_id=task_id,
                    name=plain_text(action.function_name),
                    input=action._input,
                    instance_id=child_id if child_id.strip() else None,
                    version=plain_text(action.version) if action.version else None,
                )
            case CallEntityAction() | SignalEntityAction():
                make = CallEntity if isinstance(action, CallEntityAction) else SignalEntity
                decision = make(
                    task_id=task_id,
                    instance_id=plain_text(action.instance_id),
                    operation=plain_text(action.operation),
                    input=action.input_,
                    request_id=self._request_id(task_id),
                )
            case CallHttpAction():
                decision = CallHttp(task_id=task_id, request=_request_text(action.http_request))
            case _:
                raise TypeError(f"unknown action {type(action).__name__} of the Durable SDK")
        if not isinstance(decision, CallEntity | SignalEntity):
            self.open_kinds[task_id] = type(decision)
        self.asked.append(decision)
        # A task keeps its action while it is open; of those without retries nobody needs it again.
        if isinstance(action, CallActivityAction | CallEntityAction):
            action.input_ = None
        elif isinstance(action, CallSubOrchestratorAction):
            action._input = None

    def note_cancelled(self, task_id: int) -> None:
        """Note that the code cancelled an open timer: it takes no completion any more."""
        if self.open_kinds.pop(task_id, None) is not None:
            del self.due[task_id]
            self.cancelled.append(task_id)

    def _request_id(self, task_id: int) -> str:
        # Derived, because a turn may run again after it sent the request.
        return str(uuid5(NAMESPACE_OID, f"{self._execution_id}:{task_id}"))


class _RecordingTimer(TimerTask):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's timer, telling its context when the code cancels it."""

    def __init__(self, context: RecordingContext, id_: Any, action: CreateTimerAction) -> None:
        super().__init__(id_, action)
        self._context = context

    def cancel(self) -> None:
        """See the SDK."""
        super().cancel()
        self._context.note_cancelled(self.id)


def pending_tasks(task: TaskBase) -> Sequence[TaskBase]:
    """The unfinished atomic tasks below `task`, each once, in the order of their ids."""
    found: dict[int, TaskBase] = {}
    todo = [task]
    while todo:
        each = todo.pop()
        if isinstance(each, AtomicTask):
            if not each.is_completed:
                found[id(each)] = each
        else:
            todo.extend(each.pending_tasks)
    return sorted(found.values(), key=lambda t: (isinstance(t.id, str), t.id))


def _request_text(request: Any) -> str:
    members = request.to_json()
    try:
        return json.dumps(members)
    except Exception as error:
        explain_write(error, members, f"the request to {request.uri}", plain=True)
        raise


def printed_time(when: date) -> datetime:
    """The time that the SDK would send: the digits as they are, read as UTC."""
    if not isinstance(when, datetime):
        return datetime(when.year, when.month, when.day, tzinfo=UTC)
    if type(when) is datetime and when.tzinfo is UTC:
        return when
    clock = (when.hour, when.minute, when.second, when.microsecond)
    return datetime(when.year, when.month, when.day, *clock, tzinfo=UTC)


def plain_text(value: Any) -> str:
    """The text that JSON would carry: that of a `str` subclass is its value, not its `str()`."""
    if type(value) is str:
        return value
    return str.__str__(value) if isinstance(value, str) else str(value)

"""The SDK's executor for one generator, with a shorter way for the values that most tasks have.

The SDK builds a decoder and reads the environment for each value. Where nothing depends on them
(no expected type, no envelope of a custom object) one decoder serves all. It decides nothing.
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from azure.durable_functions.models.actions.CallEntityAction import CallEntityAction
from azure.durable_functions.models.history import HistoryEventType as Kind
from azure.durable_functions.models.Task import AtomicTask, TaskBase
from azure.durable_functions.models.TaskOrchestrationExecutor import TaskOrchestrationExecutor

from func_py.durable.replay.sdk_event import SdkEvent
from func_py.durable.replay.waiting import wait_of
from func_py_bindings.explained import explain_read
from func_py_bindings.json_text import decode_plain, is_plain

if TYPE_CHECKING:
    from func_py.durable.replay.context import RecordingContext

_RETURNED = frozenset({Kind.TASK_COMPLETED, Kind.SUB_ORCHESTRATION_INSTANCE_COMPLETED})


class _Executor(TaskOrchestrationExecutor):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's executor, except for how a plain result is decoded."""

    def set_task_value(self, event: SdkEvent, is_success: bool, id_key: str) -> None:
        """See the SDK."""
        text = event.Result
        task = self.context.open_tasks.get(getattr(event, id_key))
        if isinstance(task, list):
            task = task[-1]  # the newest wait, which the SDK completes
        try:
            if (
                text is None
                or not is_plain(text)
                or event.event_type not in _RETURNED
                or not isinstance(task, AtomicTask)
                or getattr(task, "_expected_output_type", None) is not None
            ):
                super().set_task_value(event, is_success, id_key)
                return
            del self.context.open_tasks[event.TaskScheduledId]
            value = decode_plain(text)
        except Exception as error:
            if task is not None:
                self._explain(error, event, task)
            raise
        task.set_is_played(event._is_played)
        task.set_value(is_error=False, value=value)

    def _explain(self, error: Exception, event: SdkEvent, task: TaskBase) -> None:
        """Say whose value it is that cannot be decoded."""
        text: Any = event.Input if event.event_type is Kind.EVENT_RAISED else event.Result
        if isinstance(task.action_repr, CallEntityAction):
            with suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["result"]
        what = f"the value of {wait_of(task, self.context.due).text}"
        explain_read(error, text, what, task._expected_output_type)


_NEW_EXECUTOR = _Executor()
"""Never run: copying it is cheaper than the SDK's constructor, which defines a class each time."""


def new_executor(context: RecordingContext, generator: Any) -> Any:
    """The executor for a generator that has not been started."""
    executor = copy.copy(_NEW_EXECUTOR)
    executor.initialize()
    executor.context = context
    executor.generator = generator
    # Whether an event is played is said by each event alone.
    executor._new_events_start_index = 0
    executor._is_processing_new_events = True
    return executor

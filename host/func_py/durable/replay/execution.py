"""One run of a user's orchestrator: SDK events in, what the code asked for out.

Decides nothing about which events the code may see; that is the session's.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from datetime import datetime
from types import CodeType, GeneratorType
from typing import Any

from azure.durable_functions.models.Task import TaskBase
from azure.durable_functions.models.utils.df_serialization import df_dumps

from func_py.durable.model import ExecutionStarted, OrchestratorStarted
from func_py.durable.replay.context import RecordingContext
from func_py.durable.replay.decisions import Complete, ContinueAsNew, Fail, Outcome
from func_py.durable.replay.executor import new_executor
from func_py.durable.replay.failures import failure_of
from func_py.durable.replay.sdk_event import SdkEvent
from func_py_bindings.explained import explain_write

_MAX_CLOSE_ATTEMPTS = 100

JsonValue = Any


class Execution:
    """The live generator with the SDK's context and executor around it.

    Args:
        function: What the app registered: the SDK's handle, or the user's function itself.
        instance_id: Seeds ids that the code makes.
        started: The event that opened the first turn: the initial clock.
        start: The event that started this execution.
        played: Whether the first turn is a replay.
        input_type: What the trigger's `input_type` says; None to take it from `function`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        instance_id: str,
        started: OrchestratorStarted,
        start: ExecutionStarted,
        *,
        played: bool,
        input_type: type | None = None,
    ) -> None:
        self.context = RecordingContext(
            instance_id,
            started,
            start,
            played=played,
            input_type=input_type or getattr(function, "_df_input_type", None),
        )
        self.outcome: Outcome | None = None
        self.custom_status: str | None = None
        self._executor: Any = None
        self._generator: GeneratorType[Any, Any, Any] | None = None
        self._call(getattr(function, "orchestrator_function", function))

    @property
    def reads_history(self) -> bool:
        """The code needs the whole history in `context.histories`, so it must not be kept live."""
        generator = self._generator
        return generator is not None and (
            # The OpenAI integration runs its function from the top each turn.
            generator.gi_code.co_name == "execute_orchestrator_function"
            or _names(generator.gi_code, "histories")
        )

    @property
    def is_parked(self) -> bool:
        """The code yielded None: nothing can ever resume it."""
        return self._executor is not None and self._executor.current_task is None

    @property
    def awaited(self) -> TaskBase | None:
        """The task that the code yielded last."""
        return None if self._executor is None else self._executor.current_task

    @property
    def location(self) -> str:
        """`file:line` of the yield where the code stands, or empty."""
        generator = self._generator
        while generator is not None and isinstance(generator.gi_yieldfrom, GeneratorType):
            generator = generator.gi_yieldfrom
        if generator is None or generator.gi_frame is None:
            return ""
        return f"{generator.gi_code.co_filename}:{generator.gi_frame.f_lineno}"

    def begin_turn(self, time: datetime) -> None:
        """Move the code's clock, which is all that the SDK does when a turn begins."""
        self.context.current_utc_datetime = max(time, self.context.current_utc_datetime)

    def resume(self, event: SdkEvent) -> None:
        """Give one event to the SDK, which resumes the code when its task is done.

        Whatever is raised ends the execution; only KeyboardInterrupt is not the code's.
        """
        if self.outcome is not None or self._executor is None or self.is_parked:
            return
        executor = self._executor
        try:
            executor.process_event(event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - user code, also SystemExit
            self._fail(self._explained(error))
            return
        if executor.exception is not None:
            self._fail(executor.exception)
            self._executor = None  # it holds the traceback, which holds the user's values
        elif self.context.will_continue_as_new:
            self.outcome = ContinueAsNew(input=self.context.next_input)
        elif executor.orchestrator_returned:
            self._complete(executor.output)

    def end_turn(self) -> None:
        """Take over the custom status, as the SDK reports it once a turn: only truthy values."""
        status = self.context.custom_status
        if not status:
            return
        try:
            self.custom_status = df_dumps(status)
        except Exception as error:  # noqa: BLE001 - the user's to_json
            if not isinstance(self.outcome, Fail):
                explain_write(error, status, f"the custom status of {self._shown_name}")
                self._fail(error)

    def close(self) -> None:
        """Drop the generator. What its `finally` blocks do has no effect, nor makes it noise."""
        generator, self._generator, self._executor = self._generator, None, None
        self.context.set_replaying(True)
        for _ in range(_MAX_CLOSE_ATTEMPTS):
            if generator is None or generator.gi_frame is None:
                return
            try:
                generator.close()
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - user code; a generator may yield again
                continue

    def _call(self, function: Callable[..., Any]) -> None:
        """Call the user's function: a generator is only made, a plain function runs to its end."""
        try:
            result = function(self.context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - user code, also SystemExit
            self._fail(error)
            return
        if isinstance(result, GeneratorType):
            self._generator = result
            self._executor = new_executor(self.context, result)
        elif inspect.iscoroutine(result) or inspect.isasyncgen(result):
            if inspect.iscoroutine(result):
                result.close()
            name = getattr(function, "__name__", "the orchestrator")
            self._fail(
                TypeError(
                    f"{name} is an 'async def' function. An orchestrator is a plain 'def' that "
                    "yields the tasks of its context."
                )
            )
        elif self.context.will_continue_as_new:
            self.outcome = ContinueAsNew(input=self.context.next_input)
        else:
            self._complete(result)

    def _complete(self, output: JsonValue) -> None:
        try:
            self.outcome = Complete(output=None if output is None else json.dumps(output))
        except Exception as error:  # noqa: BLE001 - a subclass of dict, say, is user code
            # Other than for an activity's result, the SDK calls no `to_json`.
            explain_write(error, output, f"the output of {self._shown_name}", plain=True)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.outcome = Fail(failure=failure_of(error))

    @property
    def _shown_name(self) -> str:
        return f"orchestrator '{self.context.orchestrator_name}'"

    def _explained(self, error: BaseException) -> BaseException:
        """Say what is wrong with a yield that the SDK stumbles over."""
        awaited = self._executor.current_task
        if not isinstance(error, AttributeError) or isinstance(awaited, TaskBase):
            return error
        hint = " Use context.task_all for a list of tasks." if isinstance(awaited, list) else ""
        return TypeError(
            f"The orchestrator yielded {type(awaited).__name__} {awaited!r:.80} "
            f"({self.location}), which is not a task of its context.{hint}"
        )


@functools.lru_cache(256)
def _names(code: CodeType, name: str) -> bool:
    return name in code.co_names or any(
        isinstance(const, CodeType) and _names(const, name) for const in code.co_consts
    )

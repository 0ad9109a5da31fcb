"""Activities for the engine: stored JSON text in, JSON text or failure details out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from func_py.durable.model import ActivityResult, ActivityTask, FailureDetails
from func_py.errors import FunctionNotRegistered
from func_py.invocation.invoker import Failure, Invoker, PreparedFunction
from func_py.logs import user_traceback
from func_py_bindings.activity import activity_data, decode_input, encode_result
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.durable_function import by_name, durable_functions
from func_py_bindings.explained import explained_text

_MAX_CAUSES = 8


class ActivityCalls:
    """Runs activities by durable name, function name or Python name, in any case."""

    def __init__(self, functions: Iterable[FunctionSpec], invoker: Invoker) -> None:
        activities = durable_functions(functions, "activity")
        self._invoker = invoker
        self._names = sorted(activity.name for activity in activities)
        prepared = {activity: _prepare(activity.spec, invoker) for activity in activities}
        self._calls = {name: prepared[activity] for name, activity in by_name(activities).items()}

    @property
    def names(self) -> list[str]:
        """The durable names, sorted."""
        return list(self._names)

    def is_registered(self, name: str) -> bool:
        """Whether an activity answers to this name."""
        return name.lower() in self._calls

    async def run(self, task: ActivityTask) -> ActivityResult:
        """Run one activity.

        Returns:
            Its result; what user code raised, or a value that is not JSON, is a failure in it.

        Raises:
            FunctionNotRegistered: No activity has this name; nothing ran.
            CancelledError: The call was cancelled.
        """
        function = self._calls.get(task.name.lower())
        if function is None:
            raise self.not_registered(task.name)
        trace = task.trace
        outcome = await self._invoker.call(
            function,
            task.input,
            reason="(null)",
            trace_parent=trace.trace_parent if trace is not None else "",
            trace_state=trace.trace_state if trace is not None else "",
            cause=task,
        )
        if isinstance(outcome, Failure):
            return ActivityResult(failure=failure_details(outcome.error))
        return ActivityResult(result=outcome)

    def thread_limit(self, name: str) -> int:
        """How many threads there are for an activity of this name; 0 when it needs none."""
        function = self._calls.get(name.lower())
        return 0 if function is None or function.is_async else self._invoker.thread_limit

    def not_registered(self, name: str) -> FunctionNotRegistered:
        """The error for a name that no activity answers to, with the nearest one that exists."""
        near = difflib.get_close_matches(name.lower(), self._calls, n=1)
        nearest = self._calls[near[0]] if near else None
        return FunctionNotRegistered(
            "activity", name, self._names, None if nearest is None else _durable_name(nearest)
        )


def _prepare(spec: FunctionSpec, invoker: Invoker) -> PreparedFunction[str | None, str]:
    def decode(text: str | None) -> object:
        return decode_input(text, spec.name)

    def finish(returned: object, outputs: Mapping[str, object]) -> str:
        return encode_result(returned, spec.name)

    return invoker.prepare(spec, decode, finish, activity_data(spec))


def _durable_name(function: PreparedFunction[str | None, str]) -> str:
    return str(function.spec.trigger.get("activity") or function.spec.name)


def failure_details(error: BaseException) -> FailureDetails:
    """An exception of user code as data, causes included."""
    return _details(error, _MAX_CAUSES)


def _details(error: BaseException, depth: int) -> FailureDetails:
    cause = error.__cause__
    return FailureDetails(
        type=type(error).__name__,
        message=explained_text(error),
        stack=user_traceback(error),
        inner=_details(cause, depth - 1) if cause is not None and depth > 0 else None,
    )

"""`functionTimeout`: cancels invocations that take too long, with one timer for all of them.

A timer for each, or a record of each, would cost every short call more than the rest of the
bookkeeping around it: all that is noted is the deadline.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from func_py.config.timespan import format_timespan
from func_py.errors import FunctionTimeout
from func_py.invocation.context import InvocationContext


class TimeLimit:
    """The longest time that the code of an invocation may take. Used from one loop.

    Args:
        limit: None for no limit.
        running: The invocations under way, by id.
        tell: Called with the function's name and a text when an invocation is cancelled.
    """

    def __init__(
        self,
        limit: timedelta | None,
        running: Mapping[str, InvocationContext],
        tell: Callable[[str, str], None],
    ) -> None:
        self._shown = format_timespan(limit) if limit is not None else ""
        self._seconds = limit.total_seconds() if limit is not None else math.inf
        self._running = running
        self._tell = tell
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, context: InvocationContext) -> None:
        """The code of an invocation begins: its caller is cancelled when the time is over."""
        context.cancelled_before = context.caller.cancelling()
        context.deadline = time.monotonic() + self._seconds
        if self._alarm is None and context.deadline < math.inf:
            self._set_alarm(context.deadline)

    def end(
        self, context: InvocationContext, error: BaseException | None, *, runs_on: bool
    ) -> None:
        """The code has ended.

        Args:
            context: The invocation.
            error: What it raised; None when it returned.
            runs_on: It is in a thread, which nothing can stop.

        Raises:
            FunctionTimeout: It was cancelled, also when it went on and returned all the same. An
                exception of the code itself stays what it is.
        """
        context.deadline = math.inf
        if not context.is_expired:
            return
        others = context.caller.uncancel() > context.cancelled_before
        if error is None or (isinstance(error, asyncio.CancelledError) and not others):
            raise FunctionTimeout(
                context.function_name, self._shown, runs_on=runs_on and error is not None
            ) from error

    def close(self) -> None:
        """Cancel nothing any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(deadline - time.monotonic(), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = time.monotonic()
        for context in self._running.values():
            if context.deadline <= now:
                self._expire(context)
        # Set for one that may have ended since: those that began later have later deadlines.
        following = min((c.deadline for c in self._running.values()), default=math.inf)
        if following < math.inf:
            self._set_alarm(following)

    def _expire(self, context: InvocationContext) -> None:
        self._tell(
            context.function_name,
            f"Timeout value of {self._shown} exceeded by function "
            f"'Functions.{context.function_name}' (Id: '{context.invocation_id}'). "
            "Initiating cancellation.",
        )
        context.deadline = math.inf
        context.is_expired = True
        context.caller.cancel()

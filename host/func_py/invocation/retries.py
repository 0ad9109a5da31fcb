"""Function-level retry policies: a failed invocation repeated by the host, before its trigger is
told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from func_py.clock import Clock
from func_py.config.timespan import format_timespan
from func_py.invocation.context import AttemptError, InvocationRetry
from func_py.invocation.invoker import Failure, InvocationLog, Invoker, PreparedFunction
from func_py.logs import user_traceback
from func_py_bindings.contract import RetryPolicy

V = TypeVar("V")
T = TypeVar("T")

_JITTER = 0.2


class RetryingInvoker:
    """Invokes functions as often as their retry policies say. Each attempt is an invocation.

    Args:
        invoker: Makes the attempts.
        log: Receives the lines about waiting.
        clock: What it waits by.
        uniform: Random numbers between two bounds, for exponential delays.
    """

    def __init__(
        self,
        invoker: Invoker,
        log: InvocationLog,
        clock: Clock,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._invoker = invoker
        self._log = log
        self._clock = clock
        self._uniform = uniform
        self._waiting: set[asyncio.Event] = set()
        self._is_stopped = False

    def stop(self) -> None:
        """Repeat nothing any more: whoever waits for the next attempt gets the last failure."""
        self._is_stopped = True
        for over in self._waiting:
            over.set()

    async def call(self, function: PreparedFunction[V, T], value: V, *, reason: str) -> T | Failure:
        """Invoke a function until it succeeds or its policy ends.

        Returns:
            What the last attempt gave.

        Raises:
            CancelledError: This call was cancelled, in an attempt or between two.
        """
        policy = function.spec.retry
        if policy is None:
            return await self._invoker.call(function, value, reason=reason)
        most = policy.max_retry_count
        shown = -1 if most is None else most
        name = function.spec.name
        attempt = 0
        failed: AttemptError | None = None
        while True:
            outcome = await self._invoker.call(
                function, value, reason=reason, retry=InvocationRetry(attempt, shown, failed)
            )
            is_last = self._is_stopped or (most is not None and attempt >= most)
            if not isinstance(outcome, Failure) or is_last:
                return outcome
            error = outcome.error
            failed = AttemptError(name, f"{type(error).__name__}: {error}", user_traceback(error))
            delay = self._delay(policy, attempt)
            attempt += 1
            self._log.info(
                name,
                f"Waiting for `{format_timespan(delay)}` before retrying function execution. "
                f"Next attempt: '{attempt}'. Max retry count: '{shown}'.",
            )
            await self._wait(delay)
            if self._is_stopped:
                return outcome

    async def _wait(self, delay: timedelta) -> None:
        over = asyncio.Event()
        self._waiting.add(over)
        timer = self._clock.call_at(self._clock.now() + delay, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            self._waiting.discard(over)

    def _delay(self, policy: RetryPolicy, attempt: int) -> timedelta:
        if policy.minimum == policy.maximum:
            return policy.minimum
        # 2 ** 40 seconds are far above any maximum; a float would overflow in the end.
        steps = (2.0 ** min(attempt, 40)) - 1
        growth = steps * self._uniform(1 - _JITTER, 1 + _JITTER)
        seconds = policy.minimum.total_seconds() * (1 + growth)
        return min(policy.maximum, timedelta(seconds=min(seconds, policy.maximum.total_seconds())))

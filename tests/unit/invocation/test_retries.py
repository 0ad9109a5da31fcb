# mypy: disable-error-code="untyped-decorator"
"""Retry policies: attempts, delays, and what an attempt knows of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from support.apps import RecordedLog, functions

from func_py.clock import VirtualClock
from func_py.discovery.retry import retry_policy
from func_py.invocation import Failure, Invoker, PreparedFunction, RetryingInvoker


class Attempts:
    """A timer function that fails some times, called on a clock that jumps from wait to wait."""

    def __init__(self, failures: int, **policy: Any) -> None:
        self.failures = failures
        self.contexts: list[func.Context] = []
        self.log = RecordedLog()
        self.clock = VirtualClock()
        self.invoker = Invoker(self.log)
        self.retrying = RetryingInvoker(self.invoker, self.log, self.clock, lambda a, b: 1.0)
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="t", schedule="0 * * * * *")
        async def tick(t: func.TimerRequest, context: func.Context) -> None:
            self.contexts.append(context)
            if len(self.contexts) <= self.failures:
                raise LookupError(f"lost {len(self.contexts)}")

        if policy:
            tick = app.retry(**policy)(tick)
        self.function: PreparedFunction[object, object] = self.invoker.prepare(
            functions(app)["tick"], lambda value: value, self._finish
        )

    @staticmethod
    def _finish(value: object, outputs: Mapping[str, object]) -> object:
        return "done"

    async def call(self) -> tuple[object, list[float]]:
        """The outcome, and the seconds waited between attempts."""
        waits: list[float] = []
        task: asyncio.Task[object] = asyncio.create_task(
            self.retrying.call(self.function, None, reason="r")
        )
        while True:
            for _ in range(5):
                await asyncio.sleep(0)
            if task.done():
                return task.result(), waits
            before = self.clock.now()
            self.clock.advance(self.clock._due[0][0] - before)
            waits.append((self.clock.now() - before).total_seconds())


FIXED = {"strategy": "fixed_delay", "max_retry_count": "3", "delay_interval": "00:00:10"}
GROWING = {
    "strategy": "exponential_backoff",
    "max_retry_count": "5",
    "minimum_interval": "00:00:01",
    "maximum_interval": "00:00:06",
}


async def test_function_without_policy_is_called_once() -> None:
    attempts = Attempts(failures=9)
    outcome, waits = await attempts.call()
    assert isinstance(outcome, Failure)
    assert (len(attempts.contexts), waits) == (1, [])
    retry = attempts.contexts[0].retry_context
    assert (retry.retry_count, retry.max_retry_count, retry.exception) == (0, 0, None)


async def test_function_is_repeated_until_it_succeeds() -> None:
    attempts = Attempts(2, **FIXED)
    assert await attempts.call() == ("done", [10, 10])


async def test_failure_of_the_last_attempt_is_the_outcome() -> None:
    attempts = Attempts(9, **FIXED)
    outcome, waits = await attempts.call()
    assert isinstance(outcome, Failure)
    assert str(outcome.error) == "lost 4"
    assert len(waits) == 3


async def test_delays_grow_up_to_the_maximum() -> None:
    assert (await Attempts(9, **GROWING).call())[1] == [1, 2, 4, 6, 6]


async def test_policy_without_end_goes_on() -> None:
    attempts = Attempts(50, **{**GROWING, "max_retry_count": "-1"})
    outcome, waits = await attempts.call()
    assert (outcome, len(waits)) == ("done", 50)
    assert attempts.contexts[0].retry_context.max_retry_count == -1


async def test_every_attempt_is_an_invocation_that_knows_the_one_before() -> None:
    attempts = Attempts(1, **FIXED)
    await attempts.call()
    first, second = attempts.contexts
    assert first.invocation_id != second.invocation_id
    assert (first.retry_context.retry_count, first.retry_context.exception) == (0, None)
    retry = second.retry_context
    assert (retry.retry_count, retry.max_retry_count) == (1, 3)
    assert (retry.exception.source, retry.exception.message) == ("tick", "LookupError: lost 1")
    assert f'File "{__file__}"' in retry.exception.stack_trace


async def test_stop_ends_the_wait_for_the_next_attempt_with_the_last_failure() -> None:
    attempts = Attempts(9, **FIXED)
    task = asyncio.create_task(attempts.retrying.call(attempts.function, None, reason="r"))
    while not attempts.contexts:  # noqa: ASYNC110  # The function tells nobody.
        await asyncio.sleep(0)
    attempts.retrying.stop()
    outcome = await task
    assert isinstance(outcome, Failure)
    assert (str(outcome.error), len(attempts.contexts)) == ("lost 1", 1)


async def test_waiting_is_logged() -> None:
    attempts = Attempts(1, **FIXED)
    await attempts.call()
    texts = [text for _, _, text in attempts.log.lines if text.startswith("Waiting")]
    (text,) = texts
    assert text == (
        "Waiting for `00:00:10` before retrying function execution. Next attempt: '1'. "
        "Max retry count: '3'."
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "the strategy is '', not fixed_delay or exponential_backoff; max_retry_count must"),
        ({**FIXED, "max_retry_count": "many"}, "max_retry_count must be a number"),
        ({**FIXED, "max_retry_count": "-2"}, "max_retry_count must be a number"),
        ({**FIXED, "delay_interval": None}, "delay_interval must be a time such as"),
        ({**FIXED, "delay_interval": "-00:00:01"}, "delay_interval must be a time such as"),
        ({**GROWING, "maximum_interval": "soon"}, "maximum_interval must be a time such as"),
    ],
)
def test_bad_policy_says_what_is_wrong(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        retry_policy(settings)


def test_policy_is_read_in_the_words_of_function_json() -> None:
    policy = retry_policy(
        {
            "strategy": "exponentialBackoff",
            "maxRetryCount": 5,
            "minimumInterval": "00:00:10",
            "maximumInterval": "00:15:00",
        }
    )
    assert (policy.max_retry_count, policy.minimum, policy.maximum) == (
        5,
        timedelta(seconds=10),
        timedelta(minutes=15),
    )

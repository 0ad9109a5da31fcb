"""Results of activity calls that run on after their partitions went to another host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from func_py.clock import Clock
from func_py.durable.engine.activities import task_key
from func_py.durable.engine.effects import derived_id
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.turns import activity_event
from func_py.durable.model import ActivityResult, ActivityTask, FailureDetails, Message
from func_py.durable.storage.base import TaskHub, TaskKey
from func_py.errors import StorageError, StorageUnavailable

log = logging.getLogger("func_py.durable.activities")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Leftovers:
    """Stores each result as a message, for whoever owns the instance by then."""

    def __init__(
        self,
        hub: TaskHub,
        clock: Clock,
        outage: Outage,
        settled: Callable[[ActivityTask], None],
    ) -> None:
        """`settled` is told of each call whose result is stored, or will never be."""
        self._hub = hub
        self._settled = settled
        self._clock = clock
        self._outage = outage
        self._storing: dict[asyncio.Task[None], ActivityTask] = {}

    @property
    def keys(self) -> list[TaskKey]:
        """Calls whose result is on its way to the store."""
        return [task_key(task) for task in self._storing.values()]

    def store(self, task: ActivityTask, result: ActivityResult) -> None:
        """Begin to store a result; returns at once."""
        storing = asyncio.ensure_future(self._store(task, result))
        self._storing[storing] = task
        storing.add_done_callback(self._stored)

    async def close(self, grace_s: float) -> None:
        """Wait so many seconds for what is on its way."""
        if self._storing:
            await asyncio.wait(self._storing, timeout=grace_s)
        for storing in list(self._storing):
            storing.cancel()

    def _stored(self, storing: asyncio.Task[None]) -> None:
        self._settled(self._storing.pop(storing))
        if not storing.cancelled() and (error := storing.exception()) is not None:
            log.error("The result of an activity is lost; the call runs again.", exc_info=error)

    async def _store(self, task: ActivityTask, result: ActivityResult) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                # False: the call was taken from us, and somebody else makes it.
                await self._hub.complete_activity(task_key(task), self._message(task, result))
            except StorageUnavailable as error:
                self._outage.began("results", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except StorageError as error:
                log.error("The result of '%s' cannot be stored: %s", task.name, error)
                problem = f"the task hub refused the result: {error}"
                failure = FailureDetails(type=type(error).__name__, message=problem)
                result = ActivityResult(failure=failure)
            else:
                self._outage.ended("results", failures)
                return

    def _message(self, task: ActivityTask, result: ActivityResult) -> Message:
        message_id = derived_id(task.execution_id, f"{task.task_id}:result")
        event = activity_event(task, result, self._clock.now())
        return Message(
            id=message_id,
            instance_id=task.instance_id,
            execution_id=task.execution_id,
            event=msgspec.structs.replace(event, message_id=message_id),
        )

"""What waits is held without its large payloads; they are read when they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from func_py.durable.model import ActivityTask
from func_py.durable.storage.base import TaskKey

ReadActivity = Callable[[TaskKey], Awaitable[ActivityTask | None]]


class Payloads:
    """What clause 32 of the storage contract gives to the engine.

    `places`: whoever reads the payload of a message holds one until its turn is stored. So a hub
    full of large messages is worked on without holding more than some of them.
    """

    def __init__(self, read: ReadActivity, limit: int | None, at_once: int) -> None:
        """`read`, `limit`: `TaskHub.read_activity`, and the hub's limit in characters. `at_once`:
        the number of places."""
        self._read = read
        self._limit = limit
        self.places = asyncio.Semaphore(at_once)

    def light(self, task: ActivityTask) -> ActivityTask:
        """A stored call as it may wait, without a large input."""
        if self._limit is None or task.input is None or len(task.input) <= self._limit:
            return task
        return replace(task, input=None, withheld=True)

    async def whole_call(self, task: ActivityTask) -> ActivityTask | None:
        """The call as it is to be run; None when it is not stored any more.

        Raises:
            StorageUnavailable: The store does not answer.
        """
        key = TaskKey(task.instance_id, task.execution_id, task.task_id)
        found = await self._read(key)
        return None if found is None else replace(task, input=found.input, withheld=False)

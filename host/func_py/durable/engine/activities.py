"""Runs the activities that committed turns handed out, a bounded number at a time."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from func_py.clock import Clock, Timer
from func_py.durable.engine.functions import ActivityRunner
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.faults import reach
from func_py.durable.model import ActivityResult, ActivityTask, FailureDetails
from func_py.durable.replay.decisions import HTTP_ACTIVITY_NAME
from func_py.durable.storage.base import TaskKey
from func_py.errors import FunctionNotRegistered, StorageUnavailable

log = logging.getLogger("func_py.durable.activities")

_RECHECK = timedelta(seconds=5)


def task_key(task: ActivityTask) -> TaskKey:
    """The key of an activity call."""
    return TaskKey(task.instance_id, task.execution_id, task.task_id)


class ActivityPool:
    """Workers over one queue; a worker lives while there is something to do.

    A call that is running, or whose result was given to `done`, is in `held`: it is not started
    again when its partition is recovered by this same process. Durable HTTP calls wait for servers,
    some of them for hours, so they take no worker from the others: each runs by itself.

    Each call begins with the context variables of this pool's maker: what another call has set, in
    this orchestration or any other, is not its business.
    """

    def __init__(
        self,
        runner: ActivityRunner,
        limit: int,
        done: Callable[[ActivityTask, ActivityResult], None],
        elsewhere: Callable[[str], Awaitable[bool]],
        poison: Poison,
        payloads: Payloads,
        clock: Clock,
    ) -> None:
        """`elsewhere(name)`: does another live host of the hub have this activity?"""
        self._runner = runner
        self._limit = limit
        self._done = done
        self._elsewhere = elsewhere
        self._poison = poison
        self._payloads = payloads
        self._clock = clock
        self._queue: deque[ActivityTask] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()
        self._waiting: dict[TaskKey, Timer] = {}
        self._unstarted = 0
        """Workers that exist and have not taken a call yet."""
        self._closed = False
        self._context = contextvars.copy_context()
        self.held: set[TaskKey] = set()
        self.running: set[TaskKey] = set()
        """Calls that were begun and have not ended."""

    def dispatch(self, tasks: Iterable[ActivityTask]) -> None:
        """Queue calls; those held already are left out."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        at_once = self._limit - len(self._workers) + self._unstarted
        for task in tasks:
            key = task_key(task)
            if key in self.held:
                continue
            self.held.add(key)
            if task.name == HTTP_ACTIVITY_NAME:
                alone = loop.create_task(self._one(task), context=self._context.copy())
                self._alone.add(alone)
                alone.add_done_callback(self._alone.discard)
            else:
                must_wait = len(self._queue) >= at_once
                self._queue.append(self._payloads.light(task) if must_wait else task)
        self._hire(loop)

    def _hire(self, loop: asyncio.AbstractEventLoop) -> None:
        wanted = min(self._limit - len(self._workers), len(self._queue) - self._unstarted)
        for _ in range(wanted):
            worker = loop.create_task(self._work(), context=self._context.copy())
            self._unstarted += 1
            self._workers.add(worker)

    def drop(self, instance_id: str, execution_id: str) -> None:
        """Forget the queued calls of an execution; running ones go on."""
        gone = [
            t for t in self._queue if (t.instance_id, t.execution_id) == (instance_id, execution_id)
        ]
        if gone:
            dropped = {task_key(task) for task in gone}
            self._queue = deque(t for t in self._queue if task_key(t) not in dropped)
            self.held -= dropped

    def release(self, keys: Iterable[TaskKey]) -> None:
        """The rows of these calls are gone from the store (taken or discarded)."""
        self.held.difference_update(keys)

    def forget(self, task: ActivityTask) -> None:
        """The result of this call has no taker; it may be started again."""
        self.held.discard(task_key(task))

    def start_no_more(self) -> None:
        """Drop the calls that have not begun; running ones go on."""
        self._closed = True
        self._queue.clear()
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    async def close(self, grace: float) -> None:
        """Start nothing more; give running calls `grace` seconds, then cancel them."""
        self.start_no_more()
        workers = [*self._workers, *self._alone]
        if workers:
            _, pending = await asyncio.wait(workers, timeout=grace)
            for worker in pending:
                worker.cancel()
            if pending:
                log.warning(
                    "%d activity call(s) did not finish in time; they run again at the next start.",
                    len(pending),
                )
                await asyncio.gather(*pending, return_exceptions=True)

    async def _work(self) -> None:
        self._unstarted -= 1
        worker = asyncio.current_task()
        assert worker is not None
        try:
            while self._queue:
                await self._one(self._queue.popleft())
                if not _is_same(contextvars.copy_context(), self._context):
                    break
        finally:
            # Not by a callback of the task, which comes an iteration of the loop later: a call
            # that is queued meanwhile would wait for workers that have ended.
            self._workers.discard(worker)
            if self._queue and not self._closed:
                self._hire(asyncio.get_running_loop())

    async def _one(self, task: ActivityTask) -> None:
        reach("activity.before_run")
        key = task_key(task)
        self.running.add(key)
        try:
            if task.withheld:
                whole = await self._payloads.whole_call(task)
                if whole is None:
                    # Its execution is gone, or was terminated.
                    self.held.discard(key)
                    return
                task = whole
            result = await self._run(task)
        except StorageUnavailable:
            self._wait(task)
            return
        except FunctionNotRegistered as error:
            await self._unknown(task, error)
            return
        except asyncio.CancelledError:
            if self._closed:
                raise
            # User code cancelled itself; that is its failure, not ours.
            result = ActivityResult(
                failure=FailureDetails(type="CancelledError", message="the call was cancelled")
            )
        except Exception as error:
            log.exception("Activity '%s' could not be run.", task.name)
            result = ActivityResult(
                failure=FailureDetails(type=type(error).__name__, message=str(error))
            )
        finally:
            self.running.discard(key)
        reach("activity.after_run")
        self._done(task, result)

    async def _run(self, task: ActivityTask) -> ActivityResult:
        """One call, noted while it is in hand; those suspected of a crash one at a time."""
        key = task_key(task)
        if (problem := self._poison.activity_problem(key, task.name)) is not None:
            log.error("Instance '%s': %s", task.instance_id, problem)
            failure = FailureDetails(type=type(problem).__name__, message=str(problem))
            return ActivityResult(failure=failure)
        if self._poison.is_suspect(key):
            async with self._poison.singly:
                return await self._noted(key, task)
        return await self._noted(key, task)

    async def _noted(self, key: TaskKey, task: ActivityTask) -> ActivityResult:
        handle = self._poison.begin_activity(key)
        try:
            return await self._runner.run(task)
        finally:
            self._poison.end_activity(handle)

    async def _unknown(self, task: ActivityTask, error: FunctionNotRegistered) -> None:
        """Fail the call, unless another live host of the hub has the function."""
        try:
            wait = await self._elsewhere(task.name)
        except StorageUnavailable:
            wait = True
        if wait:
            self._wait(task)
            return
        failure = FailureDetails(type="FunctionNotRegistered", message=str(error))
        self._done(task, ActivityResult(failure=failure))

    def _wait(self, task: ActivityTask) -> None:
        """Try again after a pause."""
        task = self._payloads.light(task)
        self._waiting[task_key(task)] = self._clock.call_at(
            self._clock.now() + _RECHECK, lambda: self._again(task)
        )

    def _again(self, task: ActivityTask) -> None:
        key = task_key(task)
        self._waiting.pop(key, None)
        self.held.discard(key)
        self.dispatch([task])


def _is_same(one: contextvars.Context, other: contextvars.Context) -> bool:
    """Do both have the same values? Not `==`, which asks the values, and those are the user's."""
    if len(one) != len(other):
        return False
    return all(other.get(variable, one) is value for variable, value in one.items())

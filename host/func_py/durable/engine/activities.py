"""Runs the activities that committed turns handed out, a bounded number at a time."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from func_py.clock import Clock, Timer
from func_py.durable.engine.functions import ActivityRunner
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.line import Line
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


class LiveCall(msgspec.Struct, frozen=True, kw_only=True):
    """An activity call that a pool holds."""

    task_id: int
    execution_id: str
    since: datetime | None = None
    """When it was begun; None: it waits."""
    ahead: int = 0
    """How many calls wait before it."""
    place: str = ""
    """Where its code stands, `file:line in function: source`, where that is known."""
    full_threads: int = 0
    """How many threads there are, while it waits for one of them; otherwise 0."""


class Trader(Protocol):
    """Who gives calls to other hosts and gets some from them."""

    def queued(self) -> None:
        """Calls may be waiting in the queue."""
        ...

    def hungry(self) -> None:
        """There may be nothing to do for some worker."""
        ...

    def offer(self, tasks: Sequence[ActivityTask]) -> None:
        """Let other hosts have these, which the pool does not hold any more."""
        ...


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
        heartbeat: Heartbeat,
    ) -> None:
        """`elsewhere(name)`: does another live host of the hub have this activity?"""
        self._runner = runner
        self.limit = limit
        self._done = done
        self._elsewhere = elsewhere
        self._poison = poison
        self._payloads = payloads
        self._clock = clock
        self._heartbeat = heartbeat
        self._queue: deque[ActivityTask] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()
        self._waiting: dict[TaskKey, tuple[ActivityTask, Timer]] = {}
        self._unstarted = 0
        """Workers that exist and have not taken a call yet."""
        self._closed = False
        self._line = Line()
        self._context = contextvars.copy_context()
        self.held: set[TaskKey] = set()
        """Calls that are queued here, were begun, or whose result is not stored yet."""
        self.ended = 0
        """Calls out of the queue that have ended so far."""
        self.trader: Trader | None = None
        """Set while there are other hosts."""
        self._begun: dict[TaskKey, tuple[datetime, int]] = {}
        """Calls in hand, oldest first: since when, and how many threads there are for them; 0 where
        they need none."""

    @property
    def is_full(self) -> bool:
        """Does the limit keep calls waiting?"""
        return bool(self._queue) and len(self._workers) >= self.limit

    def calls_of(self, instance_id: str) -> list[LiveCall]:
        """The calls of an instance, of any execution, that run or wait here."""
        begun: list[LiveCall] = []
        before = 0  # calls with a thread, or before this one in line for one
        for key, (since, threads) in self._begun.items():
            if key.instance_id == instance_id:
                begun.append(
                    LiveCall(
                        task_id=key.task_id,
                        execution_id=key.execution_id,
                        since=since,
                        full_threads=threads if before >= threads else 0,
                    )
                )
            before += threads > 0
        return begun + [
            LiveCall(task_id=task.task_id, execution_id=task.execution_id, ahead=ahead)
            for ahead, task in enumerate(self._queue)
            if task.instance_id == instance_id
        ]

    @property
    def queue_length(self) -> int:
        """Calls that wait for a worker."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Calls out of the queue that have not ended."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """Calls that could begin at once if there were any."""
        return 0 if self._queue or self._closed else max(0, self.limit - len(self._workers))

    def dispatch(self, tasks: Iterable[ActivityTask]) -> None:
        """Queue calls; those held already are left out."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        at_once = self._room + self._unstarted
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

    @property
    def _room(self) -> int:
        """How many workers more there may be; negative when there are too many."""
        return self.limit + self._line.waiting - len(self._workers)

    def _hire(self, loop: asyncio.AbstractEventLoop) -> None:
        # All at once, and not when those before them are in line: the threads would be through with
        # the first, and the results would never come together again.
        while self._unstarted < len(self._queue) and self._room > 0:
            threads = self._runner.thread_limit(self._queue[self._unstarted].name)
            if threads:
                self._line.expect(threads)
            worker = loop.create_task(self._work(), context=self._context.copy())
            self._unstarted += 1
            self._workers.add(worker)
        if self.trader is not None:
            self.trader.queued()

    def take_tail(self, keep: int) -> list[ActivityTask]:
        """Give up what waits behind the first `keep` calls of the queue, oldest first."""
        tail = []
        while len(self._queue) > keep:
            task = self._queue.pop()
            self.held.discard(task_key(task))
            tail.append(task)
        tail.reverse()
        return tail

    def withdraw(self, is_gone: Callable[[str], bool]) -> list[ActivityTask]:
        """Give up the calls of some instances that have not begun; asked by instance id."""
        gone = [task for task in self._queue if is_gone(task.instance_id)]
        if gone:
            self._queue = deque(t for t in self._queue if not is_gone(t.instance_id))
        for key, (task, timer) in list(self._waiting.items()):
            if is_gone(key.instance_id):
                timer.cancel()
                del self._waiting[key]
                gone.append(task)
        self.held.difference_update(map(task_key, gone))
        return gone

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

    def settled(self, key: TaskKey) -> None:
        """The result of this call is stored, or the call is not ours any more."""
        self.held.discard(key)
        self._poison.activities_settled([key])

    def start_no_more(self) -> Sequence[ActivityTask]:
        """Give up the calls that have not begun, for good; running ones go on."""
        self._closed = True
        return self.withdraw(lambda _: True)

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
        self._line.arrive(self._unstarted)
        worker = asyncio.current_task()
        assert worker is not None
        try:
            while self._queue and self._room >= 0:
                if not self._heartbeat.is_fresh:
                    await self._heartbeat.wait()
                    continue
                await self._one(self._queue.popleft())
                self.ended += 1
                if self._queue and not _is_same(contextvars.copy_context(), self._context):
                    break
        finally:
            # Not by a callback of the task, which comes an iteration of the loop later: a call
            # that is queued meanwhile would wait for workers that have ended.
            self._workers.discard(worker)
            if self._queue and not self._closed:
                self._hire(asyncio.get_running_loop())
            if self.trader is not None:
                self.trader.hungry()

    async def _one(self, task: ActivityTask) -> None:
        reach("activity.before_run")
        try:
            if task.withheld:
                whole = await self._payloads.whole_call(task)
                if whole is None:
                    # Its execution is gone, or was terminated.
                    self.held.discard(task_key(task))
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
                self.held.discard(task_key(task))
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
        threads = self._runner.thread_limit(task.name)
        self._begun[key] = self._clock.now(), threads
        try:
            return await (self._in_line(task, threads) if threads else self._runner.run(task))
        finally:
            del self._begun[key]
            self._poison.end_activity(handle)

    async def _in_line(self, task: ActivityTask, threads: int) -> ActivityResult:
        """One call that needs a thread: while it waits for one, another may be in hand."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._line.join(threads)
        if self._queue:
            self._hire(loop)
        try:
            return await self._runner.run(task)
        finally:
            self._line.leave(loop.time() - began)

    async def _unknown(self, task: ActivityTask, error: FunctionNotRegistered) -> None:
        """Fail the call, unless another live host of the hub has the function."""
        try:
            wait = await self._elsewhere(task.name)
        except StorageUnavailable:
            wait = True
        if wait and self.trader is not None:
            self.held.discard(task_key(task))
            self.trader.offer([task])
            return
        if wait:
            self._wait(task)
            return
        failure = FailureDetails(type="FunctionNotRegistered", message=str(error))
        self._done(task, ActivityResult(failure=failure))

    def _wait(self, task: ActivityTask) -> None:
        """Try again after a pause."""
        task = self._payloads.light(task)
        again = self._clock.call_at(self._clock.now() + _RECHECK, lambda: self._again(task))
        self._waiting[task_key(task)] = (task, again)

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

"""Trades activity calls with the other hosts of the hub, while there are any.

A host keeps of its queue what it will get to soon and offers the rest; one that has nothing to do
claims what is offered, its own included. Where calls end fast, nothing is ever offered: to hand a
call on costs more than to make it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeVar

import msgspec

from func_py.clock import Clock, Timer
from func_py.durable.engine.activities import ActivityPool, task_key
from func_py.durable.engine.background import Background
from func_py.durable.engine.effects import derived_id
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.turns import activity_event
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    FailureDetails,
    HistoryEvent,
    Message,
    TaskFailed,
)
from func_py.durable.storage.base import TaskHub, TaskKey
from func_py.errors import FuncPyError, StorageUnavailable

T = TypeVar("T")

log = logging.getLogger("func_py.durable.activities")

_LOOK = timedelta(milliseconds=250)
"""How often a queue is looked at while there are other hosts."""

_LOOKS_KEPT = 2
"""A host keeps as many calls, those in hand included, as end in the time of so many looks."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Exchange:
    """The trade of one host; it begins closed."""

    def __init__(
        self,
        hub: TaskHub,
        pool: ActivityPool,
        names: Collection[str],
        clock: Clock,
        outage: Outage,
        unclaimed: Callable[[], Awaitable[None]],
    ) -> None:
        """`names`: of our activities, in lower case. `unclaimed` takes back what nobody will
        claim: called when something was offered to hosts that have gone meanwhile."""
        self._hub = hub
        self._pool = pool
        self._names = names
        self._clock = clock
        self._outage = outage
        self._unclaimed = unclaimed
        self._is_open = False
        self._claiming: asyncio.Task[None] | None = None
        self._alarm: Timer | None = None
        self._ended = 0
        self._storing = Background(_say_failed)

    # ---- offering and claiming -------------------------------------------------------------

    def open(self) -> None:
        """There are other hosts. Idempotent."""
        if not self._is_open:
            self._is_open = True
            self._pool.trader = self
            self.queued()
            self.hungry()

    def shut(self) -> None:
        """There are no other hosts any more, or this one ends. Idempotent."""
        self._is_open = False
        self._pool.trader = None
        self._stop_claiming()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def queued(self) -> None:
        """Calls may be waiting in the queue."""
        if self._alarm is None and self._is_open and self._pool.queue_length:
            self._ended = self._pool.ended
            self._alarm = self._clock.call_at(self._clock.now() + _LOOK, self._look)

    def hungry(self) -> None:
        """There may be nothing to do for some worker."""
        if self._claiming is None and self._is_open and self._names and self._pool.idle:
            self._claiming = asyncio.ensure_future(self._claim())

    def offer(self, tasks: Sequence[ActivityTask]) -> None:
        """Let other hosts have these, which the pool does not hold any more."""
        # A claim under way would only bring them back.
        self._stop_claiming()
        self._storing.spawn(self._offer_now(tasks))

    def _look(self) -> None:
        self._alarm = None
        if not self._is_open:
            return
        if self._pool.queue_length:
            self._stop_claiming()  # it began when there was less to do
        kept = _LOOKS_KEPT * (self._pool.ended - self._ended) - self._pool.busy
        surplus = self._pool.take_tail(max(0, kept))
        if surplus:
            self.offer(surplus)
        self.queued()

    async def _offer_now(self, tasks: Sequence[ActivityTask]) -> None:
        await self._persist("offers", lambda: self._hub.offer_activities(tasks))
        if not self._is_open:
            await self._unclaimed()
        self.hungry()

    async def _claim(self) -> None:
        me = asyncio.current_task()
        try:
            while (idle := self._pool.idle) > 0:
                claim = functools.partial(self._hub.claim_activities, self._names, idle)
                self._pool.dispatch(await self._persist("claims", claim))
        finally:
            if self._claiming is me:
                self._claiming = None

    def _stop_claiming(self) -> None:
        if self._claiming is not None:
            self._claiming.cancel()
            self._claiming = None

    # ---- results ---------------------------------------------------------------------------

    def complete(self, task: ActivityTask, result: ActivityResult) -> None:
        """A call ended whose instance is in a partition that is not ours."""
        event = activity_event(task, result, self._clock.now())
        self.hand_in(task_key(task), event)

    def hand_in(self, key: TaskKey, event: HistoryEvent) -> None:
        """Store the result of a call that we hold; whoever owns the partition gets it."""
        self._storing.spawn(self._hand_in_now(key, event))

    async def _hand_in_now(self, key: TaskKey, event: HistoryEvent) -> None:
        try:
            await self._complete(key, event)
        except FuncPyError as error:
            # The call is still ours, and its caller has to hear something.
            log.error("The result of a call of '%s' cannot be stored: %s", key.instance_id, error)
            refusal = f"the task hub refused the result of the activity: {error}"
            failure = FailureDetails(type=type(error).__name__, message=refusal)
            await self._complete(
                key,
                TaskFailed(
                    timestamp=event.timestamp,
                    task_id=key.task_id,
                    reason=refusal,
                    failure=failure,
                ),
            )
        self._pool.settled(key)

    async def _complete(self, key: TaskKey, event: HistoryEvent) -> None:
        message_id = derived_id(key.execution_id, f"{key.task_id}:result")
        message = Message(
            id=message_id,
            instance_id=key.instance_id,
            execution_id=key.execution_id,
            event=msgspec.structs.replace(event, message_id=message_id),
        )
        # False, when the call was taken from us, is as good an answer: somebody else makes it.
        await self._persist("results", lambda: self._hub.complete_activity(key, message))

    # ---- the end ---------------------------------------------------------------------------

    async def close(self, grace_s: float) -> None:
        """Trade no more; what is on its way to the store gets `grace_s` seconds."""
        self.shut()
        await self._storing.wait(grace_s)
        await self._storing.cancel()

    async def _persist(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until the store answers."""
        pause_s = _FIRST_PAUSE_S
        while True:
            failures = self._outage.failures
            try:
                answer = await call()
            except StorageUnavailable as error:
                self._outage.began(what, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._outage.ended(what, failures)
                return answer


def _say_failed(error: BaseException) -> None:
    log.error("A step of the exchange of activities failed.", exc_info=error)

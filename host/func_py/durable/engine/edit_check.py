"""Development aid: which live instances do not fit the code that was just loaded.

Their next turn would fail them. While code is edited they are held instead, until code that fits is
loaded or somebody ends them; nothing of them is changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import TypeGuard

from func_py.clock import Clock
from func_py.durable.engine.functions import FunctionTable
from func_py.durable.engine.loader import Loader
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.slot import Slot
from func_py.durable.model import InstanceState, RuntimeStatus
from func_py.durable.replay.muting import muted
from func_py.durable.storage.base import InstanceQuery, TaskHub
from func_py.errors import FunctionNotRegistered, NonDeterminismError, StorageUnavailable

log = logging.getLogger("func_py.durable.engine")

_LIVE = frozenset({RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED})
_SPANS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), None)
"""The store lists the oldest first: so the newest are asked for by themselves."""

_SLICE = 100
"""Stored events replayed before the event loop gets to do something else."""

_IDLE_SHARE = 10
"""When others need the event loop, the check pauses this many times as long as it works."""


class Misfits:
    """Tells of instances that do not fit the code, and what can be done; each kind once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, state: InstanceState, problem: Exception) -> None:
        """This instance is held, or will be when something arrives for it."""
        instance_id, name = state.instance_id, state.name
        text = _difference(problem)
        if (name, text) in self._told:
            log.info("Instance '%s' of '%s' is held, too.", instance_id, name)
            return
        self._told.add((name, text))
        log.warning(
            "Instance '%s' of '%s' does not fit the code any more and is held. %s "
            "It goes on when code that fits is saved, such as that from before. To give it up: "
            "`func-py durable terminate --id %s`, and `restart` to run it anew. To change an "
            "orchestrator while instances of it live, give it another name or a version.",
            instance_id,
            name,
            text,
            instance_id,
        )


class EditCheck:
    """Replays the live instances, the newest first. It never changes one.

    Args:
        hub: An open hub; this host need not own anything in it.
        functions: Of the code that was just loaded.
        clock: The time.
        misfits: Is told what is found.
    """

    def __init__(
        self, hub: TaskHub, functions: FunctionTable, clock: Clock, misfits: Misfits
    ) -> None:
        self._hub = hub
        self._functions = functions
        self._clock = clock
        self._misfits = misfits
        # What kills the process is found out by the engine; here the old code goes on serving.
        self._loader = Loader(
            hub, functions, Poison(None, "", 0), clock, _SLICE, asyncio.Semaphore(1)
        )
        self._is_alone = True
        self._task: asyncio.Task[None] | None = None

    async def begin(self, limit_s: float) -> None:
        """Check for so many seconds at most; the rest is checked beside other work."""
        self._task = asyncio.ensure_future(self._run())
        await asyncio.wait([self._task], timeout=limit_s)
        self._is_alone = False

    async def close(self) -> None:
        """Stop; what is under way is dropped."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for instance_id in self._live():
                began = loop.time()
                await self._check(instance_id)
                if not self._is_alone:
                    await asyncio.sleep(_IDLE_SHARE * (loop.time() - began))
        except StorageUnavailable as error:
            log.info("Live instances were not checked: %s", error)
        except Exception:
            log.exception("Live instances could not be checked.")

    async def _live(self) -> AsyncIterator[str]:
        until = None
        now = self._clock.now()
        for span in _SPANS:
            since = None if span is None else now - span
            found: list[str] = []
            query = InstanceQuery(created_from=since, created_to=until, statuses=_LIVE)
            while True:
                page = await self._hub.query_instances(query)
                found += [state.instance_id for state in page.items]
                if not page.continuation:
                    break
                query = InstanceQuery(
                    created_from=since,
                    created_to=until,
                    statuses=_LIVE,
                    continuation=page.continuation,
                )
            for instance_id in reversed(found):
                yield instance_id
            until = since - timedelta(microseconds=1) if since is not None else None

    async def _check(self, instance_id: str) -> None:
        slot = Slot(instance_id)
        with muted():
            is_there = await self._loader.load(slot, history=True)
        if not is_there:
            return
        state, problem = slot.state, slot.problem
        slot.forget()
        if state is None or state.status not in _LIVE:
            return
        if self._functions.orchestrator(state.name) is None:
            problem = self._functions.missing("orchestrator", state.name)
        if is_misfit(problem):
            self._misfits.tell(state, problem)


def is_misfit(problem: Exception | None) -> TypeGuard[Exception]:
    """Whether this is what comes of a change of the code."""
    return isinstance(problem, (NonDeterminismError, FunctionNotRegistered))


def _difference(problem: Exception) -> str:
    if not isinstance(problem, NonDeterminismError):
        return f"{problem}"
    at = f"At {problem.location} the" if problem.location else "The"
    return (
        f"{at} code asks for {problem.got}, where its history (event {problem.index}) has "
        f"{problem.expected}."
    )

"""Development aid: replay a finished orchestration once from history and compare.

Finds code that only works because it was never replayed. Idle work: one at a time, skipped while
one is under way or the history is long, and it never changes an outcome.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from func_py.durable.engine.functions import FunctionTable
from func_py.durable.model import ExecutionStarted, HistoryEvent, InstanceState, RuntimeStatus
from func_py.durable.replay import verify
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.histories import history_pages
from func_py.errors import HistoryChanged, StorageUnavailable

log = logging.getLogger("func_py.durable.replay")

MAX_EVENTS = 2000
"""Longer histories are not verified: the replay would be felt."""

_PER_FUNCTION = timedelta(seconds=1)
"""The same orchestrator is verified at most this often."""


class Verifier:
    """Takes finished instances; verifies a sample of them."""

    def __init__(self, hub: TaskHub, functions: FunctionTable) -> None:
        self._hub = hub
        self._functions = functions
        self._task: asyncio.Task[None] | None = None
        self._last: dict[str, float] = {}
        self._reported: set[str] = set()

    def offer(self, state: InstanceState) -> None:
        """Verify this instance now, unless busy or its function was verified a moment ago."""
        if self._task is not None or state.status is not RuntimeStatus.COMPLETED:
            return
        loop = asyncio.get_running_loop()
        last = self._last.get(state.name)
        if last is not None and loop.time() - last < _PER_FUNCTION.total_seconds():
            return
        self._last[state.name] = loop.time()
        self._task = loop.create_task(self._verify(state))
        self._task.add_done_callback(self._done)

    def close(self) -> None:
        """Stop; what is under way is dropped."""
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Verification replay failed.", exc_info=error)

    async def _verify(self, state: InstanceState) -> None:
        history: list[HistoryEvent] = []
        try:
            async for events in history_pages(self._hub, state.instance_id):
                history += events
                if len(history) > MAX_EVENTS:
                    return
        except (StorageUnavailable, HistoryChanged):
            return
        orchestrator = self._functions.orchestrator(state.name)
        if orchestrator is None:
            return
        started = next((e for e in history if isinstance(e, ExecutionStarted)), None)
        if started is None or started.execution_id != state.execution_id:
            return
        error = verify(orchestrator.function, state.instance_id, history)
        if error is not None and state.name not in self._reported:
            self._reported.add(state.name)
            log.warning(
                "Orchestrator '%s' completed, but replaying instance '%s' from its history goes "
                "another way. It would fail after a restart of the host. %s",
                state.name,
                state.instance_id,
                error,
            )

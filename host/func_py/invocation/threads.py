"""The threads that plain (not async) functions run in.

Not the standard library's executor, because its futures cost more than a short function does, its
threads keep a process alive that wants to end, and one batch of results here wakes the loop once:
a loop that is awake takes the interpreter lock from the threads before they are through.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class _Work:
    """One call. `began` is written by its thread, `is_given_up` by the loop."""

    __slots__ = ("args", "began", "function", "future", "is_given_up")

    def __init__(
        self, future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        self.future = future
        self.function = function
        self.args = args
        self.began = False
        self.is_given_up = False


class FunctionThreads:
    """Threads for user functions, started when needed, `count` at most. Used from one loop.

    The threads are daemons: a function that never returns does not hold up the end of the process.
    Nor does it take a thread from others: when its caller gives it up, another thread may start.
    """

    def __init__(self, count: int | None = None) -> None:
        self.limit = count or min(32, (os.cpu_count() or 1) + 4)
        """Threads at most, besides those that replace one whose call was given up."""
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._outbox: list[_Work] = []
        """Called in this iteration of the loop. The threads get it together: they would take the
        interpreter from the loop before that is through, and the results would come in two waves.
        """
        self._done: deque[tuple[_Work, Any, BaseException | None]] = deque()
        self._is_waking = False
        self._busy: set[int] = set()
        """Threads with a call, by their ids."""
        self._outstanding = 0
        self._given_up = 0
        self._thread_count = 0
        self._started = 0

    @property
    def count(self) -> int:
        """Threads there are, busy ones whose call was given up included."""
        return self._thread_count

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in a thread and return its value or raise its exception.

        Raises:
            CancelledError: The caller was cancelled. A call that has begun runs on; one that waits
                for a thread is dropped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        work = _Work(future, function, args)
        self._outbox.append(work)
        if len(self._outbox) == 1:
            loop.call_soon(self._hand_out)
        try:
            return await future
        except asyncio.CancelledError:
            # The thread looks whether it was cancelled after it has written `began`: when that is
            # not to be seen here, the call will not be made.
            if work.began and not work.is_given_up:
                work.is_given_up = True
                self._given_up += 1
                self._start_if_needed(loop)
            raise

    def close(self) -> None:
        """Let idle threads end; busy ones end after their call."""
        self._hand_out()
        for _ in range(self._thread_count):
            self._work.put(None)
        self._thread_count = 0

    def _hand_out(self) -> None:
        """Let the threads have what this iteration of the loop has called."""
        outbox, self._outbox = self._outbox, []
        for work in outbox:
            if not work.future.cancelled():
                self._work.put(work)
                self._outstanding += 1
                self._start_if_needed(work.future.get_loop())

    def _start_if_needed(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._outstanding > self._thread_count < self.limit + self._given_up:
            name = f"func-py-function-{self._started}"
            self._started += 1
            self._thread_count += 1
            threading.Thread(target=self._serve, args=(loop,), name=name, daemon=True).start()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        me = threading.get_ident()
        while (work := self._work.get()) is not None:
            self._busy.add(me)
            if self._done and not self._will_another_begin():
                self._wake(loop)  # this call may take hours
            work.began = True
            value: Any = None
            error: BaseException | None = None
            if not work.future.cancelled():
                try:
                    value = work.function(*work.args)
                except BaseException as exc:  # noqa: BLE001  # It is the caller's, whatever it is.
                    error = exc
            self._done.append((work, value, error))
            self._busy.discard(me)
            # Drop references while waiting: the next call may be hours away.
            del work, value, error
            # After the result is there: whoever took the last call may not have seen it.
            if self._work.empty():
                self._wake(loop)
        if self._done:
            self._wake(loop)

    def _will_another_begin(self) -> bool:
        """Is there a call to be made, and a thread without one? It looks at the results then."""
        return not self._work.empty() and len(self._busy) < self._thread_count

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop take the results."""
        if not self._is_waking:
            self._is_waking = True
            with contextlib.suppress(RuntimeError):  # Closed: nobody waits for them any more.
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Before emptying: a result appended from here on wakes the loop again.
        self._is_waking = False
        while self._done:
            work, value, error = self._done.popleft()
            future = work.future
            self._outstanding -= 1
            if work.is_given_up:
                self._given_up -= 1
                if self._thread_count > self.limit + self._given_up:
                    self._thread_count -= 1
                    self._work.put(None)  # One thread ends: its stand-in stays.
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            elif isinstance(error, StopIteration):
                # No future can carry it: the caller would wait for ever.
                wrapped = RuntimeError("the function raised StopIteration")
                wrapped.__cause__ = error
                future.set_exception(wrapped)
            else:
                future.set_exception(error)

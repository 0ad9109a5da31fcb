"""Where the code of an invocation stands that has not ended; for people who ask."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from func_py.logs import user_place


def place_in_thread(thread_id: int) -> str:
    """`file:line in function: source` of user code that runs in a thread; empty when none does."""
    frame = sys._current_frames().get(thread_id)
    return "" if frame is None else user_place(traceback.extract_stack(frame))


def place_in_task(task: asyncio.Task[Any]) -> str:
    """The same of user code that a task of this loop waits in."""
    return user_place(traceback.StackSummary.extract(_suspended(task)))


def _suspended(task: asyncio.Task[Any]) -> Iterator[tuple[FrameType, int]]:
    """The frames of the coroutines that wait for each other, the outermost first."""
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        yield frame, frame.f_lineno
        waiting = waiting.cr_await

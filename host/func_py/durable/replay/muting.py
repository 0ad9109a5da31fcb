"""Tells user code that runs for the host's sake only, such as a verification, from a live run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_muted: ContextVar[bool] = ContextVar("func_py_is_muted", default=False)


@contextmanager
def muted() -> Iterator[None]:
    """Within, `is_muted` holds for this thread or task."""
    token = _is_muted.set(True)
    try:
        yield
    finally:
        _is_muted.reset(token)


def is_muted() -> bool:
    """Whether what the calling code logs or prints must be dropped: nobody asked for this run."""
    return _is_muted.get()

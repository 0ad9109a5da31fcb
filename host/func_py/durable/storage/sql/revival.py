"""Connecting again after a connection was lost, with pauses in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between attempts to connect again."""

T = TypeVar("T")


class Revival(Generic[T]):
    """Attempts to connect, not more often than is good.

    Args:
        connect: Makes a session, or raises one of the errors.
        errors: What the driver raises.
    """

    def __init__(self, connect: Callable[[], T], errors: tuple[type[Exception], ...]) -> None:
        self._connect = connect
        self._errors = errors
        self._pause_s = FIRST_PAUSE_S
        self._not_before = 0.0
        self._refusal: Exception | None = None

    def attempt(self) -> T:
        """Connect. Between attempts is a growing pause, in which this raises what the last did."""
        if self._refusal is not None and time.monotonic() < self._not_before:
            raise self._refusal
        try:
            session = self._connect()
        except self._errors as error:
            self._refusal = error
            self._not_before = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            raise
        self._refusal = None
        self._pause_s = FIRST_PAUSE_S
        return session

"""Signals as something to select on, next to the children's channels."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from types import FrameType, TracebackType


class SignalPipe:
    """While entered, the given signals are noted instead of acted upon. Main thread only."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._signals = tuple(signals)
        self._before: dict[signal.Signals, signal._HANDLER] = {}
        self._read, self._write = socket.socketpair()

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._read.fileno()

    def take(self) -> list[signal.Signals]:
        """The signals that arrived since the last call, oldest first."""
        try:
            return [s for s in map(signal.Signals, self._read.recv(4096)) if s in self._signals]
        except BlockingIOError:
            return []

    def __enter__(self) -> SignalPipe:
        for end in (self._read, self._write):
            end.setblocking(False)
        self._before = {s: signal.signal(s, _note) for s in self._signals}
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._read.close()
        self._write.close()


def _note(number: int, frame: FrameType | None) -> None:
    """The interpreter has written the number to the pipe; there is nothing else to do."""

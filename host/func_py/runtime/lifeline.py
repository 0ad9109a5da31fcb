"""The channel to the supervisor: reports go up, orders come down."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from func_py.supervisor.protocol import Order, Report, Stop

_ORPHAN_GRACE_S = 3.0


class Lifeline:
    """Listens to the supervisor in a thread of its own, because user code may block the loop.

    Args:
        channel: Our end.
        on_order: Called in that thread with each order; with `Stop` when the supervisor is gone.
    """

    def __init__(self, channel: Connection, on_order: Callable[[Order], None]) -> None:
        self._channel = channel
        self._on_order = on_order
        self._sending = threading.Lock()

    def listen(self) -> None:
        """Start listening. The thread ends with the process."""
        threading.Thread(target=self._listen, name="func-py-lifeline", daemon=True).start()

    def report(self, report: Report) -> None:
        """Tell the supervisor, from any thread; if it is gone there is nobody to tell."""
        with self._sending, contextlib.suppress(OSError):
            self._channel.send(report)

    def _listen(self) -> None:
        try:
            while True:
                self._on_order(self._channel.recv())
        except (EOFError, OSError):
            # The supervisor was killed. Nobody would stop us, and we hold its port.
            self._on_order(Stop())
            threading.Event().wait(_ORPHAN_GRACE_S)
            os._exit(1)

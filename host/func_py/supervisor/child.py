"""A child process as its supervisor sees it."""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from func_py.supervisor.exits import describe_exit
from func_py.supervisor.protocol import Order, Report

_FORK_SERVER_GONE = 255


class Child:
    """A running child. Wait on `channel` for its reports and on `sentinel` for its end."""

    def __init__(self, process: BaseProcess, channel: Connection) -> None:
        self._process = process
        self.channel = channel
        self.sentinel = process.sentinel
        self.pid = process.pid or 0

    def take_report(self) -> Report | None:
        """The report that made `channel` readable; None when the child has closed it."""
        try:
            report: Report = self.channel.recv()
        except (EOFError, OSError):
            return None
        return report

    def send(self, order: Order) -> None:
        """Tell the child what to do. It may have ended already."""
        with contextlib.suppress(OSError):
            self.channel.send(order)

    def kill(self) -> None:
        """End the child now, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> str:
        """Clean up after the child has ended; says how it ended. Waits until it has."""
        self._process.join()
        code = self._process.exitcode
        self.channel.close()
        if code == _FORK_SERVER_GONE:
            # The exit code came through the fork server. The child itself may live on without it.
            self.kill()
            return "ended together with the fork server"
        return describe_exit(code)

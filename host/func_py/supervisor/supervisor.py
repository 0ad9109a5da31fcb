"""Keep one child running until somebody asks to stop."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Protocol

from func_py.supervisor.backoff import Backoff
from func_py.supervisor.child import Child
from func_py.supervisor.exits import EXIT_FORCED, EXIT_USER_ERROR
from func_py.supervisor.protocol import Failed, Ready
from func_py.supervisor.signals import SignalPipe

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MARGIN_S = 3.0
"""What a child may take beyond its drain time before it is killed."""
_SAME_KEY_S = 0.3
"""Wrappers pass a Ctrl+C on that the terminal has sent us already; that is no second one."""


class Announcer(Protocol):
    """Tells a person what happens."""

    def ready(self, report: Ready) -> None:
        """The app serves requests, for the first time."""
        ...

    def say(self, text: str) -> None:
        """Something to know."""
        ...

    def complain(self, text: str) -> None:
        """Something went wrong."""
        ...


class Supervisor:
    """Starts a child, replaces it when it dies, and stops it.

    When the first child cannot run the app, neither can the supervisor. Later children are started
    again and again, because the app has worked before.

    Args:
        start_child: Starts a child that accepts on `listener`.
        listener: Stays open while children come and go; closed when stopping begins.
    """

    def __init__(
        self,
        start_child: Callable[[], Child],
        listener: socket.socket,
        announcer: Announcer,
        backoff: Backoff | None = None,
    ) -> None:
        self._start_child = start_child
        self._listener = listener
        self._announcer = announcer
        self._backoff = backoff or Backoff()

    def run(self) -> int:
        """Run until stopped; returns the exit code for the process. Main thread only."""
        has_worked = False
        with SignalPipe(STOP_SIGNALS) as signals:
            while True:
                watch = _Watch(self._start_child(), signals, self._announcer, has_worked)
                watch.until_end(self._listener)
                if watch.exit_code is not None:
                    return watch.exit_code
                has_worked = True
                delay = self._backoff.delay_s(watch.ready_for_s)
                self._announcer.complain(
                    f"The app process (pid {watch.child.pid}) {watch.end}. "
                    f"Starting a new one in {delay:g} s; requests wait."
                )
                if wait([signals.fileno()], delay):
                    return 0


class _Watch:
    """One child from its start to its end."""

    def __init__(
        self, child: Child, signals: SignalPipe, announcer: Announcer, has_worked: bool
    ) -> None:
        self.child = child
        self.end = ""
        """How the child ended, for people."""
        self.exit_code: int | None = None
        """Set at the end, unless the child should be replaced."""
        self.ready_for_s = 0.0
        self._signals = signals
        self._announcer = announcer
        self._has_worked = has_worked
        self._ready: Ready | None = None
        self._ready_at = 0.0
        self._failed: Failed | None = None
        self._stopping_since: float | None = None
        self._kill_at: float | None = None

    def until_end(self, listener: socket.socket) -> None:
        signals, sentinel = self._signals.fileno(), self.child.sentinel
        channel = self.child.channel
        sources: list[Connection | int] = [signals, sentinel, channel]
        while True:
            left = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
            happened = wait(sources, left)
            if not happened:
                self._announcer.complain("The drain time is over: cutting off what still runs.")
                self._kill()
            if signals in happened:
                for number in self._signals.take():
                    listener.close()
                    self._stop(number)
            if channel in happened and not self._take_report():
                sources.remove(channel)
            if sentinel in happened:
                break
        # What it said last. A process forked by user code may hold the other end: never wait.
        while channel in sources and channel.poll() and self._take_report():
            pass
        self._conclude()

    def _take_report(self) -> bool:
        report = self.child.take_report()
        if isinstance(report, Ready):
            self._ready, self._ready_at = report, time.monotonic()
            if not self._has_worked:
                self._announcer.ready(report)
            else:
                self._announcer.say(f"The app runs again (pid {self.child.pid}).")
        elif report is not None:
            self._failed = report
        return report is not None

    def _stop(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._stopping_since is None:
            self._stopping_since = now
            self.exit_code = 0
            if self._ready is None:
                self._kill()  # it has accepted nothing yet
                return
            self.child.stop()
            self._kill_at = now + self._ready.drain_s + _MARGIN_S
            self._announcer.say(
                f"Stopping: running work has {self._ready.drain_s:g} s to finish. "
                "Press Ctrl+C again to stop at once."
            )
        elif number == signal.SIGINT and now - self._stopping_since > _SAME_KEY_S:
            self.exit_code = EXIT_FORCED
            self._kill()

    def _kill(self) -> None:
        self.child.kill()
        self._kill_at = None

    def _conclude(self) -> None:
        self.end = self.child.reap()
        if self._ready:
            self.ready_for_s = time.monotonic() - self._ready_at
        if self._stopping_since is not None:
            return
        if self._failed:
            self._announcer.complain(self._failed.message)
            if not self._has_worked:
                self.exit_code = self._failed.exit_code
        elif not self._ready and not self._has_worked:
            self._announcer.complain(f"The app process {self.end} before it was ready.")
            self.exit_code = EXIT_USER_ERROR

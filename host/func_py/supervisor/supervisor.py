"""Keep the app served until somebody asks to stop, and reload it when its files change."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from func_py.supervisor.backoff import Backoff
from func_py.supervisor.exits import EXIT_FORCED
from func_py.supervisor.protocol import WatchRules
from func_py.supervisor.signals import SignalPipe
from func_py.supervisor.worker import HAND_OVER_S, Announcer, StartChild, Worker

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_KEY_S = 0.3
"""Wrappers pass a Ctrl+C on that the terminal has sent us already; that is no second one."""
_DEBOUNCE_S = 0.06
"""From the last change to the reload: editors write several files, and some of them twice."""


class Changes(Protocol):
    """Tells of changed files."""

    def fileno(self) -> int:
        """Readable when a file has changed."""
        ...

    def take(self) -> Sequence[str]:
        """The files that changed since the last call."""
        ...

    def obey(self, rules: WatchRules) -> None:
        """From now on tell of the files that these rules name."""
        ...


def forget_bytecode(files: Iterable[str]) -> None:
    """Delete what Python has cached of these files.

    It takes a source of the same size from the same second for the same source.
    """
    for file in files:
        if file.endswith(".py"):
            with suppress(OSError, NotImplementedError):
                Path(cache_from_source(file)).unlink()


class Supervisor:
    """Runs the workers: replaces children that die, reloads, stops.

    When the first child cannot run the app, neither can the supervisor, unless it reloads. Later
    children are started again and again, because the app has worked before.

    Args:
        start_child: Starts a child that accepts on `listener`.
        listener: Stays open while children come and go; closed when stopping begins.
        announcer: Tells what happens.
        changes: Of the app's files; None: no reload.
        count: How many children serve at a time.
        make_backoff: For each worker.
        patience_s: What a child may take to hand over; None: as long as it needs.
    """

    def __init__(
        self,
        start_child: StartChild,
        listener: socket.socket,
        announcer: Announcer,
        *,
        changes: Changes | None = None,
        count: int = 1,
        make_backoff: Callable[[], Backoff] = Backoff,
        patience_s: float | None = HAND_OVER_S,
    ) -> None:
        self._listener = listener
        self._announcer = announcer
        self._changes = changes
        self._workers = [
            Worker(
                start_child,
                announcer,
                make_backoff(),
                reloads=changes is not None,
                # Code that does not load is found out by one of them, not by all.
                changed=self._pass_on if number == 0 else lambda: None,
                is_first=number == 0,
                patience_s=patience_s,
            )
            for number in range(count)
        ]
        self._changed: set[str] = set()
        self._reload_at: float | None = None
        self._stopping_since: float | None = None
        self._is_forced = False

    def run(self) -> int:
        """Run until stopped; returns the exit code for the process. Main thread only."""
        first = self._workers[0]
        with SignalPipe(STOP_SIGNALS) as signals:
            first.reload()
            while not all(worker.is_over for worker in self._workers):
                happened = wait(list(self._sources(signals)), self._patience_s())
                if signals.fileno() in happened:
                    for number in signals.take():
                        self._stop(number)
                if self._changes is not None and self._changes.fileno() in happened:
                    self._note_changes(self._changes)
                for worker in self._workers:
                    worker.act(happened)
                if self._reload_at is not None and self._reload_at <= time.monotonic():
                    self._reload_at = None
                    forget_bytecode(self._changed)
                    self._changed.clear()
                    for worker in self._workers[1:]:
                        worker.drop_heir()
                    first.reload()
                if not any(worker.is_loading for worker in self._workers):
                    # Together: what one gives up is for the heirs, and not for another one that
                    # would have to give it up again.
                    for worker in self._workers:
                        worker.hand_over()
                if first.exit_code is not None and self._stopping_since is None:
                    self._end_all()
        return EXIT_FORCED if self._is_forced else first.exit_code or 0

    def _sources(self, signals: SignalPipe) -> Iterator[Connection | int]:
        yield signals.fileno()
        if self._changes is not None and self._stopping_since is None:
            yield self._changes.fileno()
        for worker in self._workers:
            yield from worker.sources

    def _patience_s(self) -> float | None:
        times = [self._reload_at, *(worker.deadline for worker in self._workers)]
        nearest = min((moment for moment in times if moment is not None), default=None)
        return None if nearest is None else max(0.0, nearest - time.monotonic())

    def _note_changes(self, changes: Changes) -> None:
        if changed := changes.take():
            self._changed.update(changed)
            self._reload_at = time.monotonic() + _DEBOUNCE_S

    def _pass_on(self) -> None:
        """The first worker has loaded new code: now the others, and the new rules for watching."""
        if self._changes is not None:
            self._changes.obey(self._workers[0].watch)
        for worker in self._workers[1:]:
            worker.reload()

    def _end_all(self) -> None:
        """The first worker has given up, so the others need not begin."""
        for worker in self._workers[1:]:
            worker.stop()

    def _stop(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._stopping_since is None:
            self._stopping_since = now
            self._reload_at = None
            self._listener.close()
            drain_times = [worker.stop() for worker in self._workers]
            if any(drain_s is not None for drain_s in drain_times):
                longest = max(drain_s or 0.0 for drain_s in drain_times)
                self._announcer.say(
                    f"Stopping: running work has {longest:g} s to finish. "
                    "Press Ctrl+C again to stop at once."
                )
        elif number == signal.SIGINT and now - self._stopping_since > _SAME_KEY_S:
            self._is_forced = True
            for worker in self._workers:
                worker.kill()

"""One place where the app is served: a child does it, and others before and after it.

A child that is to replace another one loads beside it and takes over when it is ready. When it does
not load, the other one goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from func_py.errors import UserError
from func_py.supervisor.backoff import Backoff
from func_py.supervisor.child import Child
from func_py.supervisor.exits import EXIT_USER_ERROR
from func_py.supervisor.protocol import (
    Failed,
    HandedOver,
    HandOver,
    Loaded,
    Paused,
    Ready,
    Report,
    Stop,
    TakeOver,
)

_MARGIN_S = 3.0
"""What a child may take beyond its drain time before it is killed."""
HAND_OVER_S = 0.5
"""What a child may take to hand over. One whose event loop is blocked by user code needs longer;
then its successor answers requests already, and gets the task hub as soon as that is free."""
_MOST_RETIRED = 3
"""Children that have handed over and still have something to finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a child is for."""

    apology: str = ""
    """Serve no app, but apologise with this text."""
    has_terminal: bool = True
    """Have the terminal while serving."""
    is_alone: bool = False
    """Nobody serves yet."""


StartChild = Callable[[Role], Child]


class Announcer(Protocol):
    """Tells a person what happens."""

    def ready(self, report: Ready) -> None:
        """The app serves requests, for the first time."""
        ...

    def reloaded(self, report: Ready, before: Ready) -> None:
        """New code of the app serves requests in place of other code."""
        ...

    def say(self, text: str) -> None:
        """Something to know."""
        ...

    def complain(self, text: str) -> None:
        """Something went wrong."""
        ...


class _Process:
    """A child and what is known of it."""

    def __init__(self, child: Child, *, is_apology: bool) -> None:
        self.child = child
        self.is_apology = is_apology
        self.loaded: Loaded | None = None
        self.ready: Ready | None = None
        self.ready_at = 0.0
        self.failed: Failed | None = None
        self.is_paused = False
        self.kill_at: float | None = None
        self.sources: list[Connection | int] = [child.sentinel, child.channel]

    def take_reports(self) -> Iterable[Report]:
        """What it said; never waits, because processes of user code may hold the other end."""
        while self.child.channel in self.sources and self.child.channel.poll():
            report = self.child.take_report()
            if report is None:
                self.sources.remove(self.child.channel)
                return
            yield report

    def drain_ends_at(self) -> float:
        drain_s = self.loaded.drain_s if self.loaded is not None else 0.0
        return time.monotonic() + drain_s + _MARGIN_S


class Worker:
    """Keeps a child serving until it is stopped. Used from one thread.

    Args:
        start_child: Starts a child.
        announcer: Tells what happens.
        backoff: Delays between a death and the next start.
        reloads: Whether code that does not load is waited for; else, at the start, it is the end.
        changed: Called when a child has loaded that was not started only because another one died.
        is_first: Tells of readiness, and gives up at the start when the app cannot be run.
        patience_s: What a child may take to hand over; None: as long as it needs.
    """

    def __init__(
        self,
        start_child: StartChild,
        announcer: Announcer,
        backoff: Backoff,
        *,
        reloads: bool,
        changed: Callable[[], None] = lambda: None,
        is_first: bool = True,
        patience_s: float | None = HAND_OVER_S,
    ) -> None:
        self.exit_code: int | None = None
        """Set when no child will serve here again."""
        self.watch = Loaded(drain_s=0.0).watch
        """What the app that was loaded last says about the files to watch."""
        self._start_child = start_child
        self._announcer = announcer
        self._backoff = backoff
        self._reloads = reloads
        self._changed = changed
        self._is_first = is_first
        self._patience_s = patience_s
        self._serving: _Process | None = None
        self._next: _Process | None = None
        self._retired: list[_Process] = []
        self._shown: Ready | None = None
        self._is_restart = False
        self._wanted = False
        self._is_asked = False
        """The child that serves was told to hand over, and another one waits for that."""
        self._hand_over_by: float | None = None
        self._restart_at: float | None = None
        self._is_stopping = False

    # ---- for the loop of the supervisor ------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """No child is left, and none will come."""
        return self.exit_code is not None and not self._processes()

    @property
    def sources(self) -> list[Connection | int]:
        """What to wait for; then call `act`."""
        return [source for process in self._processes() for source in process.sources]

    @property
    def deadline(self) -> float | None:
        """When `act` is due at the latest, by the monotonic clock."""
        times = [self._hand_over_by, self._restart_at, *(p.kill_at for p in self._processes())]
        return min((moment for moment in times if moment is not None), default=None)

    def act(self, happened: Iterable[object]) -> None:
        """React to what has become readable, and to what the clock says."""
        happened = set(happened)
        for process in self._processes():
            if not happened.isdisjoint(process.sources):
                for report in process.take_reports():
                    self._note(process, report)
            if process.child.sentinel in happened:
                self._ended(process)
        now = time.monotonic()
        for process in self._processes():
            if process.kill_at is not None and process.kill_at <= now:
                self._announcer.complain("The drain time is over: cutting off what still runs.")
                self._kill(process)
        if self._hand_over_by is not None and self._hand_over_by <= now:
            self._switch()
        if self._restart_at is not None and self._restart_at <= now:
            self._is_restart = True
            self._start()

    def reload(self) -> None:
        """Start a child on the code of now, to replace the one that serves, if there is one."""
        if self._is_stopping:
            return
        self._is_restart = False
        self._wanted = False
        if self._is_asked:
            self._wanted = True  # It is too late to call the other one back.
            return
        if self._serving is not None and self._serving.is_paused:
            self._wanted = True
            self._announcer.say(
                "The app stands at a breakpoint: the change is loaded when it goes on."
            )
            return
        if self._next is not None:
            self._kill(self._next)
            self._retire(self._next)
        self._start()

    @property
    def is_loading(self) -> bool:
        """Will the child that serves have an heir that has not loaded yet?"""
        return self._serving is not None and self._next is not None and not self._has_heir

    def hand_over(self) -> None:
        """Have the child that serves hand over to its heir, if that has loaded."""
        serving = self._serving
        if serving is None or serving.is_paused or self._is_asked or self._is_stopping:
            return
        if self._has_heir:
            serving.child.send(HandOver())
            self._is_asked = True
            if self._patience_s is not None:
                self._hand_over_by = time.monotonic() + self._patience_s

    def drop_heir(self) -> None:
        """The code of an heir is out of date: the one that serves goes on."""
        if self._serving is not None and self._next is not None and not self._is_asked:
            self._kill(self._next)  # It has accepted nothing and owns nothing.
            self._retire(self._next)

    def stop(self) -> float | None:
        """Have everything finished and ended; the seconds that running work gets, if any runs."""
        self._is_stopping = True
        self._restart_at = self._hand_over_by = None
        self.exit_code = 0
        for process in self._retired:
            process.child.send(Stop())
        if self._next is not None:
            self._kill(self._next)
        if self._serving is None:
            return None
        self._serving.child.send(Stop())
        self._serving.kill_at = self._serving.drain_ends_at()
        return self._serving.loaded.drain_s if self._serving.loaded is not None else None

    def kill(self) -> None:
        """End everything now."""
        for process in self._processes():
            self._kill(process)

    # ---- from one child to the next ----------------------------------------------------------

    def _processes(self) -> list[_Process]:
        return [p for p in (self._serving, self._next) if p is not None] + self._retired

    def _start(self, apology: str = "") -> None:
        self._restart_at = None
        try:
            child = self._start_child(
                Role(
                    apology=apology,
                    has_terminal=self._is_first and not apology,
                    is_alone=self._serving is None,
                )
            )
        except UserError as exc:
            self._not_loaded(str(exc), EXIT_USER_ERROR)
            return
        self._next = _Process(child, is_apology=bool(apology))

    def _note(self, process: _Process, report: Report) -> None:
        match report:
            case Loaded():
                process.loaded = report
                if process is self._next and not self._is_stopping:
                    self._has_loaded(process)
            case Ready():
                process.ready, process.ready_at = report, time.monotonic()
                if process is self._serving and not process.is_apology:
                    self._tell_ready(process, report)
            case HandedOver():
                if process is self._serving:
                    self._switch()
            case Paused():
                self._note_pause(process, report.is_paused)
            case Failed():
                process.failed = report

    def _has_loaded(self, process: _Process) -> None:
        assert process.loaded is not None
        if not process.is_apology:
            self.watch = process.loaded.watch
            if not self._is_restart:
                self._changed()
        if self._serving is None:
            self._switch()

    @property
    def _has_heir(self) -> bool:
        return self._next is not None and self._next.loaded is not None

    def _note_pause(self, process: _Process, is_paused: bool) -> None:
        """Somebody debugs in this process: nothing takes it, or its terminal, away meanwhile."""
        process.is_paused = is_paused
        if process is not self._serving or is_paused:
            return
        if self._wanted and not self._is_asked:
            self.reload()

    def _switch(self) -> None:
        """The next child takes over, whatever the one before it is doing."""
        self._is_asked = False
        self._hand_over_by = None
        before, self._serving, self._next = self._serving, self._next, None
        if before is not None:
            before.kill_at = before.drain_ends_at()
            self._retire(before)
        if self._serving is not None:
            self._serving.child.send(TakeOver())
        if self._wanted or self._serving is None:  # the heir has died, or is out of date
            self._wanted = False
            self._start()

    def _retire(self, process: _Process) -> None:
        if process is self._next:
            self._next = None
        self._retired.append(process)
        # Whoever keeps a connection alive has had its chance: only what runs is waited for.
        for older in self._retired[:-1]:
            older.child.send(Stop())
        for oldest in self._retired[:-_MOST_RETIRED]:
            self._kill(oldest)

    def _ended(self, process: _Process) -> None:
        end = process.child.reap()
        if process in self._retired:
            self._retired.remove(process)
        elif process is self._next:
            self._next = None
            self._is_asked = False
            self._hand_over_by = None
            if not self._is_stopping:
                pid = process.child.pid
                problem = f"The app process (pid {pid}) {end} before it was ready."
                failed = process.failed or Failed(message=problem, exit_code=EXIT_USER_ERROR)
                self._not_loaded(failed.message, failed.exit_code, is_apology=process.is_apology)
        else:
            self._serving = None
            if not self._is_stopping:
                self._died(process, end)

    def _not_loaded(self, message: str, exit_code: int, *, is_apology: bool = False) -> None:
        serving = self._serving
        if serving is not None and not serving.is_apology:
            self._announcer.complain(f"{message}\nThe code from before goes on serving.")
            return
        self._announcer.complain(message)
        if self._reloads and exit_code == EXIT_USER_ERROR and not is_apology:
            self._announcer.say("Every request is answered with that, until a file is saved.")
            self._start(apology=message)
        elif self._shown is not None or not self._is_first:
            self._restart_later(0.0)
        elif serving is None:
            self.exit_code = exit_code

    def _died(self, process: _Process, end: str) -> None:
        """The child that served is gone, unasked."""
        how = f"The app process (pid {process.child.pid}) {end}"
        if process.ready is None:
            how += " before it was ready"
        how += "."
        if process.failed is not None:
            how = process.failed.message
        if self._next is not None:
            self._announcer.complain(how)
            if self._has_heir:
                self._switch()
        elif process.ready is None and self._shown is None and self._is_first:
            self._announcer.complain(how)
            self.exit_code = EXIT_USER_ERROR if process.failed is None else process.failed.exit_code
        else:
            ready_at = time.monotonic() if process.ready is None else process.ready_at
            self._restart_later(time.monotonic() - ready_at, f"{how} ")

    def _restart_later(self, ready_for_s: float, why: str = "") -> None:
        delay = self._backoff.delay_s(ready_for_s)
        self._announcer.complain(f"{why}Starting a new one in {delay:g} s; requests wait.")
        self._restart_at = time.monotonic() + delay

    def _tell_ready(self, process: _Process, report: Ready) -> None:
        before, self._shown = self._shown, report
        if self._is_first:
            if before is None:
                self._announcer.ready(report)
            elif self._is_restart:
                self._announcer.say(f"The app runs again (pid {process.child.pid}).")
            else:
                self._announcer.reloaded(report, before)
        self._is_restart = False

    def _kill(self, process: _Process) -> None:
        process.child.kill()
        process.kill_at = None

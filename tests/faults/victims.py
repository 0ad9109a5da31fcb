"""Victims as a test sees them: one living at a time, the next forked when one has died."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from faults.victim import Birth
from support.process import WAIT_LIMIT_S, Response

_BUGS = (
    "goes another way",
    "A step of partition",
    "A background step of the engine",
    "broke the engine",
    "could not be run",
    "Verification replay failed",
)
_LINES_SHOWN = 80
_TESTS = Path(__file__).parents[1]


class WarmParent(AbstractContextManager["WarmParent"]):
    """The process that victims are forked from; ended at the exit."""

    def __enter__(self) -> WarmParent:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faults.victim", str(theirs.fileno())],
                cwd=_TESTS,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._orders.settimeout(WAIT_LIMIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._orders.close()
        self._process.wait(WAIT_LIMIT_S)

    def fork(self, birth: Birth) -> Victim:
        """A new victim, which may not be ready yet."""
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._do(asdict(birth), theirs)
        return Victim(pid, ours, self)

    def bury(self, pid: int) -> int:
        """Wait for the end of a victim; its exit code, negative for a signal."""
        return self._do({"bury": pid})

    def _do(self, order: Mapping[str, object], *sockets: socket.socket) -> int:
        socket.send_fds(self._orders, [json.dumps(order).encode()], [s.fileno() for s in sockets])
        answer = self._orders.recv(100)
        if not answer:
            raise AssertionError("the warm parent is dead")
        number: int = json.loads(answer)
        return number


class Victim:
    """One process; made by `WarmParent.fork`."""

    def __init__(self, pid: int, channel: socket.socket, parent: WarmParent) -> None:
        self._pid = pid
        self._channel = channel
        self._answers = channel.makefile("rb")
        self._parent = parent
        channel.settimeout(WAIT_LIMIT_S)

    def answer(self) -> Any:
        """The next answer. Raises EOFError when the victim has died instead."""
        try:
            line = self._answers.readline()
        except ConnectionResetError as error:
            raise EOFError from error
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)

    def do(self, verb: str, *arguments: object) -> Any:
        """Have a verb carried out; its result. Raises EOFError when the victim died over it."""
        try:
            self._channel.sendall(json.dumps([verb, *arguments]).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error
        return self.answer()

    def kill(self) -> None:
        """Kill it, if it lives."""
        os.kill(self._pid, signal.SIGKILL)

    def has_died(self) -> bool:
        """Has it died? Takes nothing that it has answered."""
        with contextlib.suppress(BlockingIOError):
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            return self._channel.recv(1, flags) == b""
        return False

    def pause(self) -> None:
        """Stop it where it is, until `resume`."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._pid, signal.SIGCONT)

    def end(self) -> int:
        """Let it end in peace, or take note that it has died: its exit code."""
        self._answers.close()
        self._channel.close()
        return self._parent.bury(self._pid)


class Lineage(AbstractContextManager["Lineage"]):
    """Victims on one task hub; the living one is a `faults.caller.Host`.

    The first is ready at the entry. When one has died, the next is forked as soon as it is needed.
    """

    def __init__(
        self,
        parent: WarmParent,
        folder: Path,
        births: Iterable[Mapping[str, Any]] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`births`: fields of `Birth` for the first ones, where they are not the usual ones;
        `environ`: the same for all of them."""
        self._parent = parent
        self._folder = folder
        self._births = iter(births)
        self._environ = environ or {}
        self._victim: Victim | None = None
        self.deaths: list[int] = []
        """Exit codes of those that died, oldest first."""

    def __enter__(self) -> Lineage:
        self._living()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            last = "\n".join(self.log.splitlines()[-_LINES_SHOWN:])
            error.add_note(f"---- log of the victims, dead of {self.deaths} ----\n{last}")
        if self._victim is not None:
            if error is not None:
                self._victim.kill()
            self._victim.end()

    @property
    def log(self) -> str:
        """What all of them logged."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def complaints(self) -> list[str]:
        """Lines in which a host says that it found a bug of its own, or a replay that differs."""
        return [line for line in self.log.splitlines() if any(words in line for words in _BUGS)]

    def request(self, method: str, target: str, body: object = None) -> Response:
        """A call of the management API. Raises ConnectionError when the victim died over it."""
        status, answer = self._do("request", method, target, body)
        return Response(status, {}, json.dumps(answer))

    def arm(self, target: str) -> None:
        """Let the living one die at a crash point, and none of those that come after it."""
        self._do("arm", target)

    def die_within(self, seconds: float) -> None:
        """Let the living one die at any moment until then."""
        self._do("die_within", seconds)

    def kill(self) -> None:
        """Kill the living one."""
        self._living().kill()
        self._bury()

    def has_died(self) -> bool:
        """Was the one that was born last killed?"""
        assert self._victim is not None
        return self._victim.has_died()

    def pause(self) -> None:
        """Stop the living one where it is, until `resume`."""
        self._living().pause()

    def resume(self) -> None:
        """Let the living one go on."""
        self._living().resume()

    def _do(self, verb: str, *arguments: object) -> Any:
        try:
            return self._living().do(verb, *arguments)
        except EOFError:
            self._bury()
            raise ConnectionError("the victim died over the request") from None

    def _living(self) -> Victim:
        """The living one; some are born to die before they are ready."""
        while self._victim is None:
            more = next(self._births, {})
            birth = Birth(folder=str(self._folder), environ=self._environ, **more)
            self._victim = self._parent.fork(birth)
            try:
                assert self._victim.answer() == "ready"
            except EOFError:
                self._bury()
        return self._victim

    def _bury(self) -> None:
        assert self._victim is not None
        code = self._victim.end()
        self._victim = None
        self.deaths.append(code)
        # By a signal: anything else is an accident, and the next would have the same.
        assert code < 0, f"a victim ended with exit code {code}:\n{self.log}"

"""`func-py start` as a process of its own, spoken to over HTTP and with signals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

START_LIMIT_S = 30.0
WAIT_LIMIT_S = 20.0
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02

COMMAND = (str(Path(sys.executable).with_name("func-py")),)
"""The console script of this environment."""

T = TypeVar("T")


def wait_for(check: Callable[[], T | None], what: str, limit_s: float = WAIT_LIMIT_S) -> T:
    """Poll until `check` gives something true, and return that; fails after `limit_s`."""
    deadline = time.monotonic() + limit_s
    pause = _FIRST_PAUSE_S
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(1.2 * pause, _LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    def json(self) -> Any:
        """The body as a JSON value."""
        return json.loads(self.text)


class HostProcess:
    """A `func-py start` under test. Use `running_host`, which also cleans up.

    Args:
        app_root: What it serves.
        log: The file that receives all it prints.
        arguments: More command line arguments; port 0 is given unless they name one.
        environ: More environment variables.
        command: The program; by default `func-py` of this environment.
        whole: `command` is all; nothing is added to it.
    """

    def __init__(
        self,
        app_root: Path,
        log: Path,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        *,
        whole: bool = False,
    ) -> None:
        port = () if "--port" in arguments else ("--port", "0")
        words = list(command) if whole else [*command, "start", *port, *arguments]
        self._log = log
        self.url = ""
        with log.open("w") as output:
            self.process = subprocess.Popen(
                words,
                cwd=app_root,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: what a test sends to it never reaches the test runner.
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return self._log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait for the start-up print; fails with the output if the process ends instead."""

        def listening() -> str | None:
            match = re.search(r"Listening on (http://[^\s\"]+)", self.output)
            if match is None and self.process.poll() is not None:
                raise AssertionError(f"the host ended at its start:\n{self.output}")
            return match[1] if match else None

        self.url = wait_for(listening, "the host to be ready", START_LIMIT_S)

    def request(
        self,
        method: str,
        target: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request on a new connection. `target` is a path, or a URL of this host."""
        address = urlsplit(self.url)
        if target.startswith("http"):
            target = target[len(f"{address.scheme}://{urlsplit(target).netloc}") :]
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=WAIT_LIMIT_S)
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, names, answer.read().decode())
        finally:
            connection.close()

    def get(self, target: str) -> Response:
        """GET a path or URL."""
        return self.request("GET", target)

    def post(self, target: str, body: object = None) -> Response:
        """POST to a path or URL; anything but text is sent as JSON."""
        if body is None or isinstance(body, str):
            return self.request("POST", target, body or "")
        headers = {"Content-Type": "application/json"}
        return self.request("POST", target, json.dumps(body), headers)

    def child_pid(self) -> int:
        """The process that runs the app: the fork server's child."""
        return min(self.child_pids())

    def child_pids(self) -> set[int]:
        """All processes that run the app: one or more, and those that it has replaced."""
        table = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in table.splitlines()]
        parent_of = {int(pid): int(parent) for pid, parent, *_ in rows}
        zombies = {int(pid) for pid, _, state in rows if state.startswith("Z")}
        children = {p for p, q in parent_of.items() if parent_of.get(q) == self.process.pid}
        return children - zombies

    def send(self, number: signal.Signals) -> None:
        """Signal the process that was started, and only that one."""
        self.process.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Signal all its processes, as a terminal does on Ctrl+C."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(WAIT_LIMIT_S)

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_for_end_of(self, start: Response) -> Any:
        """Poll the orchestration that a check-status response announced; its final status."""
        status_url = start.json()["statusQueryGetUri"]

        def final() -> Any:
            answer = self.get(status_url)
            return answer.json() if answer.status == 200 else None

        return wait_for(final, f"the end of instance {start.json()['id']}")


def free_port() -> int:
    """A port that nobody listens on; for a host that cannot say which one it has taken."""
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port: int = placeholder.getsockname()[1]
    return port


@contextmanager
def running_host(
    app_root: Path,
    log: Path,
    arguments: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[HostProcess]:
    """A host that is ready; ended at the exit. Its output is part of any failure inside."""
    host = HostProcess(app_root, log, arguments, environ, command)
    try:
        host.wait_until_ready()
        yield host
    except BaseException as exc:
        exc.add_note(f"---- output of func-py ----\n{host.output}")
        raise
    finally:
        host.kill()


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no mere zombie."""
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")

"""`func-py start` as a process of its own, on a copy of the sample app."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import SAMPLE_APP

_DEADLINE_S = 30.0
_POLL_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A host that answers. `first_answer_s`: from the spawn to the first 200. `pid` is also that of
    the group of all its processes."""

    pid: int
    port: int
    first_answer_s: float

    def request(self, method: str, path: str) -> int:
        """Make one request; returns the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


@contextmanager
def func_py_start(
    folder: Path, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Iterator[Spawned]:
    """Start the sample app in `folder`, wait for its first 200, and stop it at the end.

    Args:
        folder: Of this host alone: its app, its output.
        settings: More app settings.
        arguments: More of the command line.

    Raises:
        RuntimeError: It ended or did not answer; the text holds its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = folder / "app"
    if not app.exists():
        shutil.copytree(SAMPLE_APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    port = _free_port()
    log = folder / "output.txt"
    command = [sys.executable, "-m", "func_py", "start", str(app), "--port", str(port), *arguments]
    with log.open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while not _answers(port):
                late = time.perf_counter() - began > _DEADLINE_S
                if late or process.poll() is not None:
                    raise RuntimeError(f"func-py start did not answer:\n{log.read_text()}")
                time.sleep(_POLL_S)
            took = time.perf_counter() - began
            yield Spawned(pid=process.pid, port=port, first_answer_s=took)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/api/ping")
        return connection.getresponse().status == 200
    except (ConnectionError, TimeoutError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

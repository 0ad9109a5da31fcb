"""Processes: stopping, dying, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import HostProcess, Response, is_alive, running_host, wait_for

pytestmark = pytest.mark.e2e

APP = """
import asyncio
import os
import pathlib
import sys
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
HERE = pathlib.Path(__file__).parent


@app.route(route="pid")
async def pid(req: func.HttpRequest) -> str:
    return str(os.getpid())


@app.route(route="parent")
async def parent(req: func.HttpRequest) -> str:
    return str(os.getppid())


@app.route(route="modules")
async def modules(req: func.HttpRequest) -> str:
    return " ".join(sys.modules)


@app.route(route="slow")
async def slow(req: func.HttpRequest) -> str:
    (HERE / "entered").touch()
    while not (HERE / "go on").exists():
        await asyncio.sleep(0.01)
    return "finished"


@app.route(route="block")
async def block(req: func.HttpRequest) -> str:
    (HERE / "entered").touch()
    time.sleep(60)
    return "never"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    (root / "host.json").write_text('{"version": "2.0"}')
    (root / "function_app.py").write_text(APP)
    return root


@pytest.fixture
def host(root: Path, tmp_path: Path) -> Iterator[HostProcess]:
    with running_host(root, tmp_path / "log") as host:
        yield host


class Background:
    """A request on its way in another thread."""

    def __init__(self, host: HostProcess, path: str) -> None:
        self._host = host
        self._path = path
        self._result: Response | Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._host.get(self._path)
        except Exception as exc:  # noqa: BLE001 - carried to the test
            self._result = exc

    def result(self) -> Response:
        self._thread.join()
        if not isinstance(self._result, Response):
            raise AssertionError(f"the request failed: {self._result!r}")
        return self._result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_finishes_the_running_request(
    host: HostProcess, root: Path, number: signal.Signals
) -> None:
    request = Background(host, "/api/slow")
    wait_for((root / "entered").exists, "the request to be running")

    host.send(number)
    wait_for(lambda: "Stopping" in host.output, "the host to be stopping")
    (root / "go on").touch()

    assert request.result().text == "finished"
    assert host.wait() == 0
    assert "Executed 'Functions.slow' (Succeeded" in host.output


def test_a_signal_to_the_whole_group_drains_too(host: HostProcess, root: Path) -> None:
    request = Background(host, "/api/slow")
    wait_for((root / "entered").exists, "the request to be running")

    host.send_to_group(signal.SIGTERM)
    wait_for(lambda: "Stopping" in host.output, "the host to be stopping")
    (root / "go on").touch()

    assert request.result().text == "finished"
    assert host.wait() == 0


def test_a_second_ctrl_c_does_not_wait(host: HostProcess, root: Path) -> None:
    child = int(host.get("/api/pid").text)
    request = Background(host, "/api/slow")
    wait_for((root / "entered").exists, "the request to be running")

    def ended() -> bool:
        # Two presses closer together than a person can make them count as one: press on.
        host.send(signal.SIGINT)
        return host.process.poll() is not None

    wait_for(ended, "the host to end")

    assert host.wait() == 130
    assert not is_alive(child)
    with pytest.raises(AssertionError, match="the request failed"):
        request.result()


def test_a_stop_while_the_first_process_is_being_started_is_obeyed(
    root: Path, tmp_path: Path
) -> None:
    host = HostProcess(root, tmp_path / "early")
    try:
        helpers = ["pgrep", "-P", str(host.process.pid)]
        wait_for(lambda: subprocess.run(helpers, capture_output=True).stdout, "a helper process")
        host.send_to_group(signal.SIGTERM)

        assert host.wait() == 0
    finally:
        host.kill()


def test_a_killed_child_is_replaced_and_requests_wait_for_the_new_one(host: HostProcess) -> None:
    first = int(host.get("/api/pid").text)

    os.kill(first, signal.SIGKILL)
    second = int(host.get("/api/pid").text)

    assert first != second
    assert f"The app process (pid {first}) was killed by SIGKILL" in host.output
    host.send(signal.SIGTERM)
    assert host.wait() == 0


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a blocked event loop"])
def test_nothing_outlives_a_killed_supervisor(host: HostProcess, root: Path, busy: bool) -> None:
    child = int(host.get("/api/pid").text)
    fork_server = int(host.get("/api/parent").text)
    request = Background(host, "/api/block") if busy else None
    if busy:
        wait_for((root / "entered").exists, "the request to block the loop")

    host.send(signal.SIGKILL)
    host.wait()

    wait_for(lambda: not is_alive(child), "the child to end")
    wait_for(lambda: not is_alive(fork_server), "the fork server to end")
    if request:
        with pytest.raises(AssertionError, match="the request failed"):
            request.result()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux to count threads")
def test_the_fork_server_has_a_single_thread(host: HostProcess) -> None:
    fork_server = int(host.get("/api/parent").text)

    assert len(os.listdir(f"/proc/{fork_server}/task")) == 1


def test_the_child_has_nothing_of_the_command_line(host: HostProcess) -> None:
    modules = host.get("/api/modules").text.split()

    assert "func_py.runtime.main" in modules
    assert not {"click", "func_py.cli"} & set(modules)

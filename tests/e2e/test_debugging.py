"""Breakpoints: on the terminal of `func-py start`, and from an editor."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.debug_client import DebugClient
from support.process import COMMAND, HostProcess, Response, free_port, running_host, wait_for

pytestmark = pytest.mark.e2e

APP = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="double/{number}")
async def double(req: func.HttpRequest) -> str:
    number = int(req.route_params["number"])
    breakpoint()
    return f"{number * 2}"


@app.route(route="triple/{number}")
def triple(req: func.HttpRequest) -> str:
    number = int(req.route_params["number"])
    breakpoint()
    return f"{number * 3}"


@app.route(route="version")
async def version(req: func.HttpRequest) -> str:
    return "one"
"""
EDITED = APP.replace('"one"', '"two"')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    (root / "host.json").write_text('{"version": "2.0"}')
    (root / "function_app.py").write_text(APP)
    return root


class Terminal(HostProcess):
    """A host whose terminal is a pseudo terminal, at which the test sits."""

    def __init__(self, app_root: Path, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, "start", "--port", str(port)],
            cwd=app_root,
            env={**os.environ, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        """What the terminal has shown since the last `type`."""
        return self._shown

    def type(self, line: str) -> None:
        """Enter a line."""
        self._shown = ""
        os.write(self._ours, f"{line}\n".encode())

    def close(self) -> None:
        """End the host."""
        self.kill()
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                shown = os.read(self._ours, 4096)
            except OSError:  # nobody has the other end any more
                return
            self._shown += shown.decode(errors="replace")


@pytest.fixture
def terminal(root: Path) -> Iterator[Terminal]:
    terminal = Terminal(root, free_port())
    try:
        wait_for(lambda: "Listening on" in terminal.output, "the host to be ready")
        yield terminal
    except BaseException as exc:
        exc.add_note(f"---- the terminal ----\n{terminal.output}")
        raise
    finally:
        terminal.close()


@contextmanager
def asking(host: HostProcess, path: str) -> Iterator[list[Response]]:
    """A request under way while entered; afterwards the list holds its answer."""
    answers: list[Response] = []
    thread = threading.Thread(target=lambda: answers.append(host.get(path)))
    thread.start()
    yield answers
    thread.join()


@pytest.mark.parametrize(("name", "answer"), [("double", "42"), ("triple", "63")])
def test_a_breakpoint_gives_a_prompt_on_the_terminal(
    terminal: Terminal, name: str, answer: str
) -> None:
    with asking(terminal, f"/api/{name}/21") as answers:
        wait_for(lambda: "(Pdb) " in terminal.output, "the prompt")
        terminal.type("p number + 1000")
        wait_for(lambda: "1021" in terminal.output, "the value")
        terminal.type("c")

    assert [response.text for response in answers] == [answer]


@pytest.mark.parametrize("name", ["double", "triple"])
def test_a_change_waits_until_the_breakpoint_is_left_and_then_has_the_terminal(
    terminal: Terminal, root: Path, name: str
) -> None:
    with asking(terminal, f"/api/{name}/21") as answers:
        wait_for(lambda: "(Pdb) " in terminal.output, "the prompt")
        (root / "function_app.py").write_text(EDITED)
        wait_for(lambda: "stands at a breakpoint" in terminal.output, "the change to wait")
        terminal.type("p number + 1000")
        wait_for(lambda: "1021" in terminal.output, "the value")
        terminal.type("c")
    wait_for(lambda: terminal.get("/api/version").text == "two", "the new code")
    with asking(terminal, f"/api/{name}/100") as later:
        wait_for(lambda: "(Pdb) " in terminal.output, "the prompt of the new process")
        terminal.type("c")

    assert answers[0].status == later[0].status == 200


def test_without_a_terminal_a_breakpoint_is_told_of_and_passed_over(
    root: Path, tmp_path: Path
) -> None:
    with running_host(root, tmp_path / "log") as host:
        assert host.get("/api/double/21").text == "42"
        place = f"{root / 'function_app.py'}:{1 + APP.splitlines().index('    breakpoint()')}"
        wait_for(lambda: f"breakpoint() at {place} is passed over" in host.output, "the notice")


def test_an_editor_attaches_stops_at_a_line_and_finds_the_new_process_after_a_reload(
    root: Path, tmp_path: Path
) -> None:
    port = free_port()
    file = root / "function_app.py"
    file.write_text(APP.replace("    breakpoint()\n", ""))
    with running_host(root, tmp_path / "log", ["--debugpy", str(port)]) as host:
        for answer in ("42", "43.0"):
            client = wait_for(lambda: attached(port), "the debugger to listen")
            line = 1 + file.read_text().splitlines().index('    return f"{number * 2}"')
            client.send("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
            client.wait_for("response", "setBreakpoints")
            client.send("configurationDone")
            client.wait_for("response", "attach")
            with asking(host, "/api/double/21") as answers:
                try:
                    stopped = client.wait_for("event", "stopped")
                    client.send("continue", threadId=stopped["body"]["threadId"])
                finally:
                    client.close()
            assert [response.text for response in answers] == [answer]
            before = host.child_pids()
            file.write_text(file.read_text().replace("int(req", "0.5 + int(req"))
            # Until then it is the old process at which an editor arrives.
            wait_until_gone(host, before)


def wait_until_gone(host: HostProcess, pids: set[int]) -> None:
    wait_for(lambda: pids.isdisjoint(host.child_pids()), "the old process to go")


def attached(port: int) -> DebugClient | None:
    try:
        return DebugClient(port)
    except OSError:
        return None

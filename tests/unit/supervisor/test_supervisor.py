"""The supervisor with real processes, and a child that does on command what real ones do."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_child import READY
from support.process import is_alive, wait_for

from func_py.supervisor.backoff import Backoff
from func_py.supervisor.child import Child
from func_py.supervisor.fork_server import ForkServer
from func_py.supervisor.listener import base_url, open_listener
from func_py.supervisor.protocol import ChildSpec, Ready
from func_py.supervisor.supervisor import Supervisor


class Notes:
    """An announcer that remembers, and calls `on_ready` at the first readiness."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self.reports: list[Ready] = []
        self.said: list[str] = []
        self.complaints: list[str] = []
        self._on_ready = on_ready

    def ready(self, report: Ready) -> None:
        self.reports.append(report)
        threading.Thread(target=self._on_ready).start()

    def reloaded(self, report: Ready, before: Ready) -> None:
        self.reports.append(report)

    def say(self, text: str) -> None:
        self.said.append(text)

    def complain(self, text: str) -> None:
        self.complaints.append(text)


class Bench:
    """Runs a supervisor in the main thread while `meanwhile` acts on it from another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.listener = open_listener("127.0.0.1", 0)
        self.address = self.listener.getsockname()
        self.notes = Notes(lambda: None)
        self.environ: dict[str, str] = {}
        self.failure: BaseException | None = None

    def run(self, command: str, meanwhile: Callable[[], None]) -> int:
        server = ForkServer("support.fake_child:serve", [])

        def act() -> None:
            try:
                meanwhile()
            except BaseException as exc:  # noqa: BLE001 - carried to the test
                self.failure = exc
                os.kill(os.getpid(), signal.SIGTERM)

        self.notes = Notes(act)
        spec = ChildSpec(
            app_root=self._folder,
            environ={**os.environ, **self.environ, "CHILD": command},
            base_url=base_url(self.listener),
        )

        def start_child(apology: str) -> Child:
            return server.start_child(spec, self.listener)

        exit_code = Supervisor(
            start_child, self.listener, self.notes, make_backoff=lambda: Backoff(first_s=0.01)
        ).run()
        if self.failure is not None:
            raise self.failure
        return exit_code

    def ask(self) -> dict[str, Any]:
        """Connect to the child and read the facts it tells."""
        with socket.create_connection(self.address, timeout=10) as connection:
            return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))  # type: ignore[no-any-return]  # a JSON object


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path)
    yield bench
    bench.listener.close()


def stop(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_child_and_ends_with_zero(bench: Bench, number: signal.Signals) -> None:
    pids = []

    def meanwhile() -> None:
        pids.append(bench.ask()["pid"])
        stop(number)

    assert bench.run("", meanwhile) == 0
    assert not is_alive(pids[0])
    assert bench.notes.reports == [READY]


def test_a_killed_child_is_replaced_while_the_socket_stays_open(bench: Bench) -> None:
    pids = []

    def meanwhile() -> None:
        pids.append(bench.ask()["pid"])
        os.kill(pids[0], signal.SIGKILL)
        pids.append(bench.ask()["pid"])
        stop()

    assert bench.run("", meanwhile) == 0
    assert pids[0] != pids[1]
    assert f"(pid {pids[0]}) was killed by SIGKILL" in bench.notes.complaints[0]
    assert bench.notes.reports == [READY]


def test_a_first_child_that_fails_ends_the_supervisor_with_its_reason(bench: Bench) -> None:
    assert bench.run("fail", lambda: None) == 1
    assert bench.notes.complaints == ["the app is broken"]


def test_a_first_child_that_crashes_ends_the_supervisor_with_the_signal(bench: Bench) -> None:
    assert bench.run("crash", lambda: None) == 1
    (complaint,) = bench.notes.complaints
    assert complaint.endswith(
        "was killed by SIGSEGV (a crash in native code) before it was ready."
    )


def test_a_child_that_outstays_the_drain_time_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("func_py.supervisor.worker._MARGIN_S", 0.0)
    pids = []

    def meanwhile() -> None:
        pids.append(bench.ask()["pid"])
        stop()

    assert bench.run("stubborn", meanwhile) == 0
    assert not is_alive(pids[0])
    assert bench.notes.complaints == ["The drain time is over: cutting off what still runs."]


def test_a_second_ctrl_c_forces_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("func_py.supervisor.supervisor._SAME_KEY_S", -1.0)
    monkeypatch.setattr("func_py.supervisor.worker._MARGIN_S", 1000.0)

    def meanwhile() -> None:
        stop(signal.SIGINT)
        wait_for(lambda: bench.notes.said, "the supervisor to be stopping")
        stop(signal.SIGINT)

    assert bench.run("stubborn", meanwhile) == 130


def test_a_child_that_lost_its_fork_server_is_ended_before_it_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("func_py.supervisor.worker._MARGIN_S", 0.0)
    pids = []

    def meanwhile() -> None:
        facts = bench.ask()
        pids.append(facts["pid"])
        os.kill(facts["parent"], signal.SIGKILL)
        wait_for(lambda: bench.notes.said, "the app to run again")
        pids.append(bench.ask()["pid"])
        stop()

    assert bench.run("stubborn", meanwhile) == 0
    assert pids[0] != pids[1]
    assert not is_alive(pids[0])


# ---- what a child is born with -----------------------------------------------------------------


def test_a_child_has_the_environment_of_its_spec_and_nothing_of_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_OURS", "1")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    facts: dict[str, Any] = {}

    def meanwhile() -> None:
        facts.update(bench.ask())
        stop()

    bench.run("", meanwhile)

    assert "PYTHONSAFEPATH" not in facts["environ"]
    assert "PYTHONSAFEPATH" not in os.environ
    assert facts["stdin is empty"] is True
    assert "click" not in facts["modules"]
    assert "pytest" not in facts["modules"]
    assert facts["ignored"] is True


def test_modules_of_the_app_do_not_reach_the_helper_processes(bench: Bench, tmp_path: Path) -> None:
    for name in ("multiprocessing", "signal", "socket", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by mistake')")

    assert bench.run("", stop) == 0

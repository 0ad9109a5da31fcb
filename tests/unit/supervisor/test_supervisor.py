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
from func_py.supervisor.protocol import ChildSpec, Ready, WatchRules
from func_py.supervisor.supervisor import Supervisor
from func_py.supervisor.worker import HAND_OVER_S, Role


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


class Switch:
    """Changes that a test makes up."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self.rules: list[WatchRules] = []

    def fileno(self) -> int:
        return self._read.fileno()

    def take(self) -> list[str]:
        return [str(byte) for byte in self._read.recv(100)]

    def obey(self, rules: WatchRules) -> None:
        self.rules.append(rules)

    def press(self) -> None:
        self._write.send(b".")

    def close(self) -> None:
        self._read.close()
        self._write.close()


class Bench:
    """Runs a supervisor in the main thread while `meanwhile` acts on it from another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.listener = open_listener("127.0.0.1", 0)
        self.address = self.listener.getsockname()
        self.notes = Notes(lambda: None)
        self.environ: dict[str, str] = {}
        self.changes = Switch()
        self.patience_s: float | None = HAND_OVER_S
        self.failure: BaseException | None = None

    def run(
        self,
        command: str,
        meanwhile: Callable[[], None],
        *,
        reloads: bool = False,
        at_once: bool = False,
        count: int = 1,
    ) -> int:
        """`at_once`: act before there is a child that is ready. `CHILD` in `environ` wins over
        `command` for children that start from then on."""
        server = ForkServer("support.fake_child:serve", [])

        def act() -> None:
            try:
                meanwhile()
            except BaseException as exc:  # noqa: BLE001 - carried to the test
                self.failure = exc
                os.kill(os.getpid(), signal.SIGTERM)

        self.notes = Notes((lambda: None) if at_once else act)

        def start_child(role: Role) -> Child:
            spec = ChildSpec(
                app_root=self._folder,
                environ={**os.environ, "CHILD": command, **self.environ},
                base_url=base_url(self.listener),
                apology=role.apology,
            )
            return server.start_child(spec, self.listener)

        supervisor = Supervisor(
            start_child,
            self.listener,
            self.notes,
            changes=self.changes if reloads else None,
            count=count,
            make_backoff=lambda: Backoff(first_s=0.01),
            patience_s=self.patience_s,
        )
        if at_once:
            threading.Thread(target=act).start()
        exit_code = supervisor.run()
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
    bench.changes.close()


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
    assert complaint.endswith("was killed by SIGSEGV (a crash in native code) before it was ready.")


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


# ---- reload ------------------------------------------------------------------------------------


def test_after_a_change_another_child_serves_and_the_one_before_has_ended(bench: Bench) -> None:
    pids = []

    def meanwhile() -> None:
        pids.append(bench.ask()["pid"])
        bench.changes.press()
        wait_for(lambda: len(bench.notes.reports) == 2, "the reload")
        pids.append(bench.ask()["pid"])
        wait_for(lambda: not is_alive(pids[0]), "the end of the first child")
        stop()

    assert bench.run("", meanwhile, reloads=True) == 0
    assert pids[0] != pids[1]
    assert bench.notes.complaints == []


@pytest.mark.parametrize("command", ["fail", "crash"])
def test_a_successor_that_does_not_load_changes_nothing(bench: Bench, command: str) -> None:
    pids = []

    def meanwhile() -> None:
        pids.append(bench.ask()["pid"])
        bench.environ["CHILD"] = command
        bench.changes.press()
        wait_for(lambda: bench.notes.complaints, "the complaint")
        pids.append(bench.ask()["pid"])
        stop()

    assert bench.run("", meanwhile, reloads=True) == 0
    assert pids[0] == pids[1]
    assert bench.notes.complaints[0].endswith("The code from before goes on serving.")


def test_a_child_that_cannot_hand_over_does_not_hold_up_its_successor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.patience_s = 0.01
    monkeypatch.setattr("func_py.supervisor.worker._MARGIN_S", 0.0)

    def meanwhile() -> None:
        bench.environ["CHILD"] = ""
        bench.changes.press()
        wait_for(lambda: len(bench.notes.reports) == 2, "the reload")
        stop()

    assert bench.run("blocked", meanwhile, reloads=True) == 0


@pytest.mark.parametrize("command", ["fail", "crash"])
def test_a_first_child_that_does_not_load_is_apologised_for_until_one_does(
    bench: Bench, command: str
) -> None:
    apologies = []

    def meanwhile() -> None:
        apologies.append(bench.ask()["apology"])
        bench.environ["CHILD"] = ""
        bench.changes.press()
        wait_for(lambda: bench.notes.reports, "an app that loads")
        stop()

    assert bench.run(command, meanwhile, reloads=True, at_once=True) == 0
    assert apologies == bench.notes.complaints


def test_of_several_workers_each_is_reloaded(bench: Bench) -> None:
    pids: set[int] = set()

    def meanwhile() -> None:
        def both() -> bool:
            pids.add(bench.ask()["pid"])
            return len(pids) == 2

        wait_for(both, "two workers")
        bench.changes.press()
        wait_for(lambda: not any(map(is_alive, pids)), "the end of both")
        pids.clear()
        wait_for(both, "two others")
        stop()

    assert bench.run("", meanwhile, reloads=True, count=2) == 0
    assert len(bench.notes.reports) == 2


def test_of_several_workers_none_hands_over_before_each_has_an_heir(
    bench: Bench, tmp_path: Path
) -> None:
    before: set[int] = set()
    answers: set[int] = set()

    def meanwhile() -> None:
        def both() -> bool:
            before.add(bench.ask()["pid"])
            return len(before) == 2

        wait_for(both, "two workers")
        bench.environ["CHILD"] = f"late:{tmp_path}"
        bench.changes.press()
        wait_for((tmp_path / "second").exists, "the second heir to be loading")
        answers.update(bench.ask()["pid"] for _ in range(20))
        assert len(bench.notes.reports) == 1
        (tmp_path / "go").touch()
        wait_for(lambda: not any(map(is_alive, before)), "the end of both")
        stop()

    assert bench.run("", meanwhile, reloads=True, count=2) == 0
    assert answers <= before
    assert len(bench.notes.reports) == 2


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


def test_after_an_installation_a_child_is_a_fresh_interpreter(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    parents = []

    def meanwhile() -> None:
        parents.append(bench.ask()["parent"])
        (site / "thing-1.0.dist-info").mkdir()
        bench.changes.press()
        wait_for(lambda: len(bench.notes.reports) == 2, "the reload")
        parents.append(bench.ask()["parent"])
        stop()

    assert bench.run("", meanwhile, reloads=True) == 0
    assert parents[0] != os.getpid()
    assert parents[1] == os.getpid()


def test_modules_of_the_app_do_not_reach_the_helper_processes(bench: Bench, tmp_path: Path) -> None:
    for name in ("multiprocessing", "signal", "socket", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by mistake')")

    assert bench.run("", stop) == 0

"""`func-py azurite`, with the Azurite that the tests have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.process import COMMAND, wait_for

from func_py.azurite import Ports, is_listening
from func_py.cli import azurite as command
from func_py.cli.console import Console
from func_py.errors import UserError
from func_py.supervisor.launch import with_added

pytestmark = pytest.mark.e2e

NODE_MODULES = Path(sys.prefix) / "azurite/node_modules"


@pytest.fixture
def app_root(tmp_path: Path) -> Path:
    """An app that has Azurite among its packages."""
    root = tmp_path / "app"
    root.mkdir()
    (root / "node_modules").symlink_to(NODE_MODULES)
    return root


@pytest.fixture
def ports(unused_tcp_port_factory: pytest.FixtureRequest) -> Ports:
    """Ports that are free."""
    blob, queue, table = (unused_tcp_port_factory() for _ in range(3))  # type: ignore[operator]
    return Ports(blob=blob, queue=queue, table=table)


@contextmanager
def running(app_root: Path, ports: Ports, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command, once it has said that Azurite runs."""
    names = zip(("blob", "queue", "table"), ports.all(), strict=True)
    options = [f"--{service}-port={port}" for service, port in names]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "azurite", *options],
            cwd=app_root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: "Press Ctrl+C" in log.read_text() or process.poll(), "Azurite", 30)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_it_runs_until_it_is_stopped_and_keeps_its_data(
    app_root: Path, ports: Ports, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(app_root, ports, log) as process:
        assert f"Data: {app_root / '.func-py' / 'azurite'}" in log.read_text()
        assert all(is_listening(port) for port in ports.all())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert "Azurite is stopped. Its data stays." in log.read_text()
    assert not any(is_listening(port) for port in ports.all())
    assert (app_root / ".func-py" / "azurite" / "azurite.log").is_file()


def test_a_host_brings_its_own_unless_there_is_one(
    app_root: Path,
    ports: Ports,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "_USUAL", ports)
    with command.azurite_beside(app_root, Console()):
        assert all(is_listening(port) for port in ports.all())
        assert "Azurite runs (" in capsys.readouterr().out
        with command.azurite_beside(app_root, Console()):
            assert "Azurite runs already." in capsys.readouterr().out
        assert all(is_listening(port) for port in ports.all())
    assert not any(is_listening(port) for port in ports.all())


def test_taken_port_is_told(app_root: Path, ports: Ports) -> None:
    import socket

    with socket.create_server(("127.0.0.1", ports.queue)):
        done = subprocess.run(
            [*COMMAND, "azurite", f"--blob-port={ports.blob}", f"--queue-port={ports.queue}"],
            cwd=app_root,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {ports.queue} is taken." in done.stderr


def test_nothing_that_could_run_it_is_told(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_USUAL", ports)
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with (
        pytest.raises(UserError, match="then: npm install -g azurite"),
        command.azurite_beside(tmp_path, Console()),
    ):
        pass


def test_azurite_that_does_not_start_shows_what_it_said(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "node_modules" / ".bin" / "azurite"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho no disk\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(command, "_USUAL", ports)
    with (
        pytest.raises(UserError, match="does not start:\nno disk"),
        command.azurite_beside(tmp_path, Console()),
    ):
        pass


def test_docker_engine_is_taken_before_npx(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = info ] && echo 27.0 && exit\necho "$@"\nexit 1\n')
    docker.chmod(0o755)
    (tmp_path / "npx").write_text("#!/bin/sh\n")
    (tmp_path / "npx").chmod(0o755)
    monkeypatch.setattr(command, "_USUAL", ports)
    monkeypatch.setitem(os.environ, "PATH", f"{tmp_path}:/bin:/usr/bin")
    with (
        pytest.raises(UserError) as caught,
        command.azurite_beside(tmp_path, Console()),
    ):
        pass
    said = str(caught.value)
    assert f"--publish 127.0.0.1:{ports.table}:10002" in said
    assert f"--volume {tmp_path}/.func-py/azurite:/data" in said


@pytest.mark.parametrize("given", ["AzureWebJobsStorage", "ConnectionStrings:AzureWebJobsStorage"])
def test_storage_that_the_app_has_is_left_to_it(given: str) -> None:
    added = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    assert with_added({given: "mine"}, added) == {given: "mine"}
    assert with_added({"x": "y"}, added) == {"x": "y", **added}

"""Runs Azurite, the emulator of Azure Storage, in whatever way it can be had here."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from func_py.errors import UserError

CONNECTION = "UseDevelopmentStorage=true"
"""The connection string of an Azurite at its usual ports."""

SETTING = "AzureWebJobsStorage"
"""The app setting that bindings take when they name no other."""

_ADDRESS = "127.0.0.1"
_SERVICES = ("blob", "queue", "table")
_FIRST_PORT = 10000
_IMAGE = "mcr.microsoft.com/azure-storage/azurite"
_START_LIMIT_S = 120.0
"""A first start may have to fetch it."""
_STOP_LIMIT_S = 5.0
_ASK_LIMIT_S = 20.0
_PAUSE_S = 0.05
_LOG = "azurite.log"

_WISHES = ("--skipApiVersionCheck", "--disableTelemetry", "--silent", "--loose")
"""Not every version knows them all, and one that does not know an option ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the services listen, at the loopback address."""

    blob: int = _FIRST_PORT
    queue: int = _FIRST_PORT + 1
    table: int = _FIRST_PORT + 2

    @property
    def are_usual(self) -> bool:
        """Whether `UseDevelopmentStorage=true` means these."""
        return self == Ports()

    def all(self) -> tuple[int, int, int]:
        """Those of blobs, queues and tables."""
        return self.blob, self.queue, self.table


class Azurite:
    """A running Azurite. Made by `running_azurite`."""

    def __init__(self, process: subprocess.Popen[bytes], how: str, data: Path) -> None:
        self._process = process
        self.how = how
        """What runs it, for people."""
        self.data = data

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process.poll() is None:
            # The whole group: npx is one process, and what it runs another.
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def wait_until_it_listens(self, ports: Ports) -> None:
        """Wait for all three services.

        Raises:
            UserError: It ended instead, or takes too long; with what it said.
        """
        deadline = time.monotonic() + _START_LIMIT_S
        while not all(is_listening(port) for port in ports.all()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = (self.data / _LOG).read_text(errors="replace").strip()
                raise UserError(
                    f"Azurite ({self.how}) does not start:\n{said or 'it says nothing'}"
                )
            time.sleep(_PAUSE_S)


@contextmanager
def running_azurite(root: Path, data: Path, ports: Ports) -> Iterator[Azurite]:
    """Start Azurite, and end it on the way out.

    It ignores Ctrl+C of a terminal: when to end it is for the caller to say.

    Args:
        root: A folder whose `node_modules` may have it.
        data: Where it keeps what is stored.
        ports: Where it listens.

    Raises:
        UserError: There is none to be had here, its ports are taken, or it does not start.
    """
    for port in ports.all():
        if is_listening(port):
            raise UserError(
                f"Port {port} is taken. If that is an Azurite, there is nothing to start; else "
                "choose other ports."
            )
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    how, command = _command(root, data, ports)
    with (data / _LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    azurite = Azurite(process, how, data)
    try:
        azurite.wait_until_it_listens(ports)
        yield azurite
    finally:
        azurite.stop()


def is_listening(port: int) -> bool:
    """Whether something accepts connections at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_ADDRESS, port)) == 0


def _command(root: Path, data: Path, ports: Ports) -> tuple[str, list[str]]:
    """What starts Azurite here, in words and as a command."""
    local = root / "node_modules" / ".bin" / "azurite"
    installed = str(local) if local.is_file() else shutil.which("azurite")
    if installed:
        return installed, [installed, *_options(data, _ADDRESS, ports), *_granted([installed])]
    docker = shutil.which("docker")
    if docker and _says([docker, "info", "--format", "{{.ServerVersion}}"]):
        return "docker", _in_container(docker, data, ports)
    npx = shutil.which("npx")
    if npx:
        run = [npx, "--yes", "azurite"]
        return "npx azurite", [*run, *_options(data, _ADDRESS, ports), *_granted(run)]
    raise UserError(
        "There is no Azurite here, and nothing that could get it. Install Node.js, then: "
        "npm install -g azurite. Or start a Docker engine."
    )


def _options(data: Path, address: str, ports: Ports) -> list[str]:
    listen = [
        option
        for service, port in zip(_SERVICES, ports.all(), strict=True)
        for option in (f"--{service}Host", address, f"--{service}Port", str(port))
    ]
    return ["--location", str(data), *listen]


def _in_container(docker: str, data: Path, ports: Ports) -> list[str]:
    published = [
        option
        for inner, port in enumerate(ports.all(), _FIRST_PORT)
        for option in ("--publish", f"{_ADDRESS}:{port}:{inner}")
    ]
    listen = _options(Path("/data"), "0.0.0.0", Ports())
    volume = ("--volume", f"{data}:/data")
    return [docker, "run", "--rm", "--init", *published, *volume, _IMAGE, "azurite", *listen]


def _granted(run: Sequence[str]) -> list[str]:
    """Those of our wishes that this version knows."""
    known = _says([*run, "--help"])
    return [wish for wish in _WISHES if wish in known]


def _says(command: Sequence[str]) -> str:
    """What a command prints when it ends well, else nothing."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_LIMIT_S if "--yes" in command else _ASK_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

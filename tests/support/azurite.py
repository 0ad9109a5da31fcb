"""Azurite, the emulator of Azure Storage, as `make test` installed it beside the environment."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = Path(sys.prefix) / "azurite/node_modules/azurite/dist/src/azurite.js"
_SERVICES = ("Blob", "Queue", "Table")
_LISTENS = re.compile(r"Azurite (\w+) service is successfully listening at (http://\S+)")
_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 5.0

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has; both are public."""

OTHER = "another"
"""A second account, with the same key."""


class Azurite:
    """A process with the three services on free loopback ports, its data in memory.

    Args:
        ports: Of the blob, queue and table service; those of an earlier one to come back there.
    """

    def __init__(self, ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        if not _PROGRAM.exists():
            raise RuntimeError(f"There is no {_PROGRAM}. Make it: make .venv/.azurite")
        self._folder = tempfile.TemporaryDirectory(prefix="func-py-azurite-")
        listen = [
            argument
            for service, port in zip(_SERVICES, ports, strict=True)
            for argument in (
                f"--{service.lower()}Host=127.0.0.1",
                f"--{service.lower()}Port={port}",
                # Connections of the pool may idle for a while; else each pause costs new ones.
                f"--{service.lower()}KeepAliveTimeout=60",
            )
        ]
        self._process = subprocess.Popen(
            [
                *("node", str(_PROGRAM), *listen),
                *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"),
                *("--loose", "--silent"),
            ],
            cwd=self._folder.name,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY};{OTHER}:{KEY}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._urls = self._wait_until_listening()

    @property
    def connection_string(self) -> str:
        """As app settings have it."""
        endpoints = "".join(
            f"{service}Endpoint={self._urls[service]}/{ACCOUNT};" for service in _SERVICES
        )
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """Of the blob, queue and table service."""
        blob, queue, table = (int(self._urls[name].rpartition(":")[2]) for name in _SERVICES)
        return blob, queue, table

    @property
    def pid(self) -> int:
        """Of the process, for tests that pause or kill it."""
        return self._process.pid

    def stop(self) -> None:
        """End it, with all its data. Idempotent."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def _wait_until_listening(self) -> dict[str, str]:
        output = self._process.stdout
        assert output is not None
        deadline = time.monotonic() + _START_LIMIT_S
        printed = ""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(deadline - time.monotonic()):
                    break
                chunk = os.read(output.fileno(), 65536).decode()
                if not chunk:
                    break
                printed += chunk
                urls = dict(_LISTENS.findall(printed))
                if len(urls) == len(_SERVICES):
                    return urls
        self.stop()
        raise RuntimeError(f"Azurite did not start:\n{printed}")


@contextmanager
def running_azurite(ports: tuple[int, int, int] = (0, 0, 0)) -> Iterator[Azurite]:
    """An Azurite of one's own, while entered."""
    azurite = Azurite(ports)
    try:
        yield azurite
    finally:
        azurite.stop()

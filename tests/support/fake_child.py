"""A child for tests of the supervisor: does on command what real children do by misfortune."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from support.process import wait_for

from func_py.supervisor.protocol import (
    ChildSpec,
    Failed,
    FunctionLine,
    HandedOver,
    HandOver,
    Loaded,
    Ready,
    Stop,
)

READY = Ready(
    functions=(FunctionLine(name="f", trigger="httpTrigger", url="http://x/api/f"),),
    facts=(),
)


def serve(spec: ChildSpec, listener: socket.socket, channel: Connection) -> None:
    """Answer each connection with facts about this process; the command says how to end."""
    command = "" if spec.apology else spec.environ.get("CHILD", "")
    if command == "fail":
        channel.send(Failed(message="the app is broken", exit_code=1))
        sys.exit(1)
    if command == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if command.startswith("late:"):
        _load_late(Path(command.removeprefix("late:")))
    channel.send(Loaded(drain_s=0.2))
    if isinstance(channel.recv(), Stop):
        return
    channel.send(READY)
    listener.settimeout(0.01)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if channel.poll() and not _goes_on(channel, command):
            return
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            continue
        facts = {
            "pid": os.getpid(),
            "apology": spec.apology,
            "parent": os.getppid(),
            "environ": dict(os.environ),
            "modules": sorted(sys.modules),
            "stdin is empty": os.path.samestat(os.fstat(0), os.stat(os.devnull)),
            "path": sys.path,
            "ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        }
        peer.sendall(json.dumps(facts).encode())
        peer.close()


def _load_late(folder: Path) -> None:
    """The first one loads at once, others when there is a file `go`."""
    with contextlib.suppress(FileExistsError):
        (folder / "first").touch(exist_ok=False)
        return
    (folder / "second").touch()
    wait_for((folder / "go").exists, "leave to load")


def _goes_on(channel: Connection, command: str) -> bool:
    with contextlib.suppress(EOFError):
        order = channel.recv()
        if isinstance(order, HandOver):
            if command != "blocked":
                channel.send(HandedOver())
        else:
            assert isinstance(order, Stop)
    return command in ("stubborn", "blocked")

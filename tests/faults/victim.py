"""The processes that fault tests kill, and the warm parent that they are forked from.

`python -m faults.victim FD` imports everything once and then forks a victim for each order that
comes over the socket FD: a JSON object and, with it, one end of the victim's own socket. A victim
is a host without HTTP: hub, engine and client over the fault app. It answers requests in lines, a
JSON array in (verb and arguments), a JSON value out; it says `"ready"` when it begins.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from faults.app import function_app
from support.apps import functions

from func_py.clock import RealClock
from func_py.config.host_json import load_host_config
from func_py.durable import faults
from func_py.durable.engine import in_hand
from func_py.durable.storage.registry import find_provider
from func_py.invocation import Invoker
from func_py.logs import Logs, LogSettings
from func_py.management import BASE_PATH, DurableApi, LocalTransport
from func_py.runtime.durable import Durable, durable_hub

APP = Path(function_app.__file__).parent
FUNCTIONS = functions(function_app.app)
ORIGIN = "http://victim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """How a victim comes to life."""

    folder: str
    """Where its task hub, its log and the notes of its activities are."""
    crash_at: str = ""
    """The crash point at which it dies, armed before it opens the hub."""
    without: Sequence[str] = ()
    """Functions that its app does not have any more."""
    clock_shift_s: float = 0.0
    """How far its clock is ahead."""
    deaths_to_blame: int = in_hand.DEATHS_TO_BLAME
    """At how many deaths in a row work that was in hand is taken for their cause."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """App settings that lead to another task hub than the file in the folder."""


class _ShiftedClock(RealClock):
    """The machine's clock, set wrong."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self) -> datetime:
        return super().now() + self._shift


class _Verbs:
    """What a test may ask of a victim."""

    def __init__(self, durable: Durable) -> None:
        api = DurableApi(durable.client, durable.explainer, durable.info.name)
        self._transport = LocalTransport(api, f"{ORIGIN}{BASE_PATH}/", ORIGIN)

    async def request(self, method: str, target: str, body: object) -> tuple[int, object]:
        """A call of the management API: status and decoded body."""
        return await self._transport.request(method, f"{ORIGIN}{target}", body)

    async def arm(self, target: str) -> None:
        """Die at a crash point."""
        faults.arm(target)

    async def die_within(self, seconds: float) -> None:
        """Die at any moment until then: the kernel ends the process, wherever it is."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


async def _live(birth: Birth, channel: socket.socket) -> None:
    faults.arm(birth.crash_at)
    in_hand.DEATHS_TO_BLAME = birth.deaths_to_blame
    folder = Path(birth.folder)
    logs = Logs(LogSettings(file=folder / "log"))
    invoker = Invoker(logs)
    logs.install(invoker.current)
    specs = [spec for name, spec in FUNCTIONS.items() if name not in birth.without]
    config = load_host_config(APP, {"FUNC_PY_STATE_DIR": birth.folder, **birth.environ})
    clock = _ShiftedClock(timedelta(seconds=birth.clock_shift_s))
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    async with (
        durable_hub(config, specs, base_url=ORIGIN, development=True, clock=clock) as durable,
        durable.running(specs, invoker, 0.0),
    ):
        verbs = _Verbs(durable)
        answer: object = "ready"
        while True:
            writer.write(json.dumps(answer).encode() + b"\n")
            line = await reader.readline()
            if not line:
                break
            verb, *arguments = json.loads(line)
            answer = await getattr(verbs, verb)(*arguments)
    writer.close()
    invoker.close()
    logs.close()


def _become_victim(birth: Birth, channel: socket.socket) -> None:
    folder = Path(birth.folder)
    with (folder / "log").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["FAULTS_RAN"] = str(folder / "ran")
    try:
        asyncio.run(_live(birth, channel))
    except BaseException:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _serve(orders: socket.socket) -> None:
    """Fork and bury, in turns with the test that gives the orders."""
    find_provider("sqlite")  # these are imported only when they are asked for
    find_provider("postgres")
    gc.collect()
    gc.freeze()  # a collection in a victim would copy every page of its parent
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 65536, 1)
        if not message:
            return
        order: Mapping[str, Any] = json.loads(message)
        if "bury" in order:
            _, status = os.waitpid(order["bury"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            channel = socket.socket(fileno=descriptors[0])
            answer = os.fork()
            if answer == 0:
                orders.close()
                _become_victim(Birth(**order), channel)
            channel.close()
        orders.sendall(json.dumps(answer).encode())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

"""The child's process: its event loop and signals, and how its end is reported.

The fork server imports this module, and with it everything a child needs, before it forks. That is
also the import barrier: a child puts the app root first on `sys.path`, so whatever of ours or of
third parties is imported after that could be a file of the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import traceback
from multiprocessing.connection import Connection

from func_py.durable import faults
from func_py.runtime.debugging import Debugging
from func_py.runtime.host import loading
from func_py.runtime.interpreter import settle_interpreter
from func_py.runtime.lifeline import Lifeline
from func_py.supervisor.exits import BUG_NOTICE, EXIT_INTERNAL_ERROR, exit_code_of
from func_py.supervisor.protocol import (
    ChildSpec,
    Failed,
    HandedOver,
    HandOver,
    Order,
    Paused,
    Stop,
    TakeOver,
)


def run(spec: ChildSpec, listener: socket.socket, channel: Connection) -> None:
    """Serve the app until told to stop. The entry point that the supervisor names."""
    settle_interpreter()
    faults.arm(os.environ.get("FUNC_PY_CRASH_AT", ""))
    os.chdir(spec.app_root)
    with asyncio.Runner() as runner:
        exit_code = runner.run(_serve(spec, listener, channel))
    raise SystemExit(exit_code)


async def _serve(spec: ChildSpec, listener: socket.socket, channel: Connection) -> int:
    orders = _Orders()
    lifeline = Lifeline(channel, orders.put_from_thread)
    loop = asyncio.get_running_loop()
    # A terminal sends Ctrl+C to us as well, but the supervisor decides. A handler, rather than
    # ignoring it: programs that the app starts must not inherit deafness.
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, orders.put, Stop())
    lifeline.listen()
    debugging = Debugging(
        spec.terminal,
        spec.debugpy_port,
        lambda is_paused: lifeline.report(Paused(is_paused=is_paused)),
    )
    if spec.is_alone:
        debugging.attach()
    try:
        async with loading(spec, restart=lambda: orders.put(Stop())) as host:
            lifeline.report(host.loaded)
            order = await orders.next()
            if isinstance(order, TakeOver):
                if not spec.is_alone:
                    debugging.attach()
                lifeline.report(await host.take_over(listener))
                order = await orders.next()
            if isinstance(order, HandOver):
                debugging.detach()
                await host.hand_over()
                lifeline.report(HandedOver())
                await host.wait_unused(until=orders.next())
    except Exception as exc:  # noqa: BLE001 - the edge of the process
        exit_code = exit_code_of(exc)
        message = str(exc)
        if exit_code == EXIT_INTERNAL_ERROR:
            traceback.print_exc()
            message = BUG_NOTICE
        lifeline.report(Failed(message=message, exit_code=exit_code))
        return exit_code
    return 0


class _Orders:
    """What the supervisor, or a signal, asks for, in the order it came."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Order] = asyncio.Queue()

    def put(self, order: Order) -> None:
        """Note an order."""
        self._queue.put_nowait(order)

    def put_from_thread(self, order: Order) -> None:
        """The same from another thread than that of the loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are on our way out
            self._loop.call_soon_threadsafe(self.put, order)

    async def next(self) -> Order:
        """Wait for an order."""
        return await self._queue.get()

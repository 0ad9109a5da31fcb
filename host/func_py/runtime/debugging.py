"""What `breakpoint()` does in a child: a prompt on the terminal of `func-py start`, or an editor's.

The terminal and the debugger's port belong to one process at a time: the one that serves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pdb
import socket
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_LOOK_S = 0.1
_OURS, _OF_FUNCTIONS = "func-py", "func-py-function"


class Debugging:
    """Installs itself as the interpreter's breakpoint hook, unless PYTHONBREAKPOINT names one.

    Make it before the app is imported, whose modules might bear the names of a debugger's.

    Args:
        terminal: Path of the terminal; empty when there is none for this process.
        port: Where an editor may attach; 0 for nowhere.
        paused: Told whether somebody stands at a prompt. Called in any thread.
    """

    def __init__(self, terminal: str, port: int, paused: Callable[[bool], None]) -> None:
        self._terminal = terminal
        self._port = port
        self._paused = paused
        self._has_terminal = False
        self._prompt = threading.RLock()
        self._editor: ModuleType | None = None
        self._opening: asyncio.Task[None] | None = None
        if port:
            # It looks at the files of frozen modules otherwise, and warns of what it finds.
            os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
            import debugpy

            self._editor = debugpy
        if not os.environ.get("PYTHONBREAKPOINT"):
            sys.breakpointhook = self._break

    def attach(self) -> None:
        """This process serves: from now on it has the terminal, and soon the port."""
        if self._terminal:
            descriptor = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY)
            os.dup2(descriptor, 0)
            os.close(descriptor)
            sys.stdin = os.fdopen(0, "r", closefd=False)
            self._has_terminal = True
        if self._editor is not None:
            self._opening = asyncio.ensure_future(self._open_port(self._editor))

    def detach(self) -> None:
        """Another process serves."""
        if self._opening is not None:
            self._opening.cancel()
        if self._has_terminal:
            self._has_terminal = False
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, 0)
            os.close(descriptor)

    async def _open_port(self, editor: ModuleType) -> None:
        """Listen as soon as the process before us has gone."""
        while True:
            if _is_free(self._port):
                break
            await asyncio.sleep(_LOOK_S)
        for thread in threading.enumerate():
            # A pause stops all threads that run user code, but not those that keep the host alive.
            if thread.name.startswith(_OURS) and not thread.name.startswith(_OF_FUNCTIONS):
                thread.pydev_do_not_trace = True  # type: ignore[attr-defined]  # read by debugpy
        editor.listen((_HOST, self._port))

    def _break(self, *args: Any, **options: Any) -> None:
        frame = sys._getframe(1)
        if self._editor is not None and self._editor.is_client_connected():
            self._editor.breakpoint()
        elif self._has_terminal:
            _Prompt(self._prompt, self._paused, *args, **options).set_trace(frame)
        else:
            logger.warning(
                "breakpoint() at %s:%d is passed over: this process has no terminal. It has one "
                "while it serves and `func-py start` runs in one; or attach an editor (--debugpy).",
                frame.f_code.co_filename,
                frame.f_lineno,
            )


class _Prompt(pdb.Pdb):
    """The standard debugger, on the real terminal: our own output has a form that hides a prompt.

    Several threads may be at a breakpoint; one at a time has the prompt.
    """

    def __init__(
        self,
        turn: threading.RLock,
        paused: Callable[[bool], None],
        **options: Any,
    ) -> None:
        super().__init__(stdout=sys.__stdout__, nosigint=True, **options)
        self.use_rawinput = True  # with the editing of lines, which a given output switches off
        self._turn = turn
        self._paused = paused

    def interaction(self, *args: Any, **options: Any) -> None:
        """Ask what to do; called at each stop."""
        with self._turn:
            self._paused(True)
            output, sys.stdout = sys.stdout, sys.__stdout__
            try:
                super().interaction(*args, **options)
            finally:
                sys.stdout = output

    def set_continue(self) -> None:
        """Run on."""
        super().set_continue()
        self._paused(False)

    def set_quit(self) -> None:
        """End what is being debugged with an exception."""
        super().set_quit()
        self._paused(False)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True

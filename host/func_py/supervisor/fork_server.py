"""Start children from the standard library's fork server, with the expensive imports done once."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from types import ModuleType

from func_py.errors import InternalError, UserError
from func_py.supervisor.child import Child
from func_py.supervisor.protocol import ChildSpec

_NOT_FOR_CHILDREN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ForkServer:
    """Starts children. The server process itself starts with the first child, or after its death.

    Args:
        entry: `package.module:function`, called in the child with the spec, the listening socket
            and its end of the channel.
        preload: Modules imported in the server, so that every child is born with them. Importing
            them must start no thread and open nothing.

    Raises:
        UserError: This platform has no fork, or no folder for temporary files.
    """

    def __init__(self, entry: str, preload: Sequence[str]) -> None:
        if "forkserver" not in multiprocessing.get_all_start_methods():
            raise UserError(
                "func-py needs a platform with fork, such as Linux or macOS. "
                "On Windows, run it in the Windows Subsystem for Linux."
            )
        try:
            tempfile.gettempdir()  # The server's socket is a file.
        except FileNotFoundError as exc:
            raise UserError(
                "func-py needs a folder for temporary files and can write none. Where the file "
                "system is read-only, mount one at /tmp (docker run --tmpfs /tmp)."
            ) from exc
        self._entry = entry
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._fresh = multiprocessing.get_context("spawn")
        self._installed = installed_packages(sys.path)

    def start_child(self, spec: ChildSpec, listener: socket.socket) -> Child:
        """Start a child that accepts on `listener`; returns once the process exists.

        When packages were installed since the server has imported its modules, the child is a fresh
        interpreter: that costs half a second, and sees what the installation has left.
        """
        is_stale = installed_packages(sys.path) != self._installed
        context: BaseContext = self._fresh if is_stale else self._context
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]  # every context has it
            target=_enter, args=(self._entry, spec, listener, theirs), name="app"
        )
        try:
            with _safe_path(), _no_main_module():
                with _shielded():
                    if is_stale:
                        process.start()
                    else:
                        forkserver.ensure_running()
                if not is_stale:
                    # It waits until the server has done its imports, and stop signals do not.
                    process.start()
        except (EOFError, ConnectionError) as exc:
            ours.close()
            raise InternalError(
                "the fork server could not start; see above for the reason"
            ) from exc
        finally:
            theirs.close()
        return Child(process, ours)


def installed_packages(path: Iterable[str]) -> frozenset[tuple[str, int]]:
    """What tells one state of the installed packages from another."""
    found = set()
    for folder in path:
        if folder.endswith(("site-packages", "dist-packages")):
            with suppress(OSError), os.scandir(folder) as entries:
                found |= {
                    (entry.path, entry.stat().st_mtime_ns)
                    for entry in entries
                    if entry.name.endswith(".dist-info")
                }
    return frozenset(found)


def _enter(entry: str, spec: ChildSpec, listener: socket.socket, channel: Connection) -> None:
    # Until it has handlers of its own.
    for number in _NOT_FOR_CHILDREN:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_CHILDREN)
    os.environ.clear()
    os.environ.update(spec.environ)
    pkgutil.resolve_name(entry)(spec, listener, channel)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start helper interpreters without the current directory on their path.

    They run with `-c`, so a `click.py` or `signal.py` of the app would be imported in place of the
    real one. The child gets its environment from the spec, so the app never sees this.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _shielded() -> Iterator[None]:
    """Let what is started meanwhile, and its children until they have handlers, see no stop signal.

    A terminal and most service managers signal the whole group, but when and in which order to
    stop is the supervisor's decision. Blocked signals stay blocked in a new program; those that
    arrive here wait until the block is over.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_CHILDREN)
    # Python up to 3.11 unblocks some of them when it starts the tracker.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_CHILDREN)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_CHILDREN)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide `__main__` from multiprocessing, which would run our command line in every child."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

"""How people ask a host of this machine what it does, also while user code blocks its event loop.

Each host answers at a socket beside the task hub's state, in a thread of its own: that sees where
the loop stands when the loop itself cannot say. Whoever may connect to the socket may ask: the user
that the host runs as. The conversation is an instance id and a `HostAnswer` in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from func_py.durable.engine.live import LiveInstance
from func_py.logs import shown_frame, user_frames

log = logging.getLogger("func_py.durable.engine")

_PATIENCE_S = 5.0
"""How long an asker waits for a host."""

_LONGEST_PATH = 100
"""Bytes of a path that every system takes for a socket."""

_PAUSE_S = 1.0
_MOST_FRAMES = 8
_QUEUE = 16


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """The event loop of a host runs something that does not give it back."""

    stack: Sequence[str]
    """`file:line in function: source`, the outermost first; from the first frame of user code on,
    where there is one."""
    function: str = ""
    """The outermost function of user code; empty where there is none."""
    orchestrator: str = ""
    """Whose turn it is; empty when it is other code."""
    instance_id: str = ""
    seconds: float
    """At least so long."""


class HostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one host of this machine says. With neither `seen` nor `blocked` it did not answer:
    code written in C holds its interpreter, or it is stopped; or it is gone."""

    host_id: str
    process: int
    """Its process id."""
    seen: LiveInstance | None = None
    blocked: Blocked | None = None
    is_gone: bool = False
    """It was killed, and the others do not all know that yet."""


Turn = tuple[str, str, float]
"""Instance id, orchestrator, and since when by the loop's clock."""


class SideChannel:
    """Answers for one host while entered.

    Args:
        directory: Of the hub's sockets on this machine; made when it is missing.
        host_id: Of the host; its socket is named by it.
        look: What the host knows of an instance; called in the loop.
        turn: The orchestrator that has the loop; called in the thread.
        loop_patience_s: How long the loop may take to begin with an answer before it is called
            blocked.
    """

    def __init__(
        self,
        directory: Path,
        host_id: str,
        look: Callable[[str], Awaitable[LiveInstance]],
        turn: Callable[[], Turn | None],
        loop_patience_s: float = 1.0,
    ) -> None:
        self._directory = directory
        self._host_id = host_id
        self._name = f"{host_id}.{os.getpid()}"
        self._look = look
        self._turn = turn
        self._loop_patience_s = loop_patience_s
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._closed = threading.Event()
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Begin to answer. Where no socket can be made nobody can ask; that harms nothing else."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _sweep(self._directory)
            # Seen by others once it listens: who does not, they take for dead.
            unready = self._directory / f".{self._name}"
            with _short(self._directory, unready.name) as path:
                listener.bind(path)
            unready.chmod(0o600)
            listener.listen(_QUEUE)
            unready.rename(self._directory / self._name)
        except OSError as error:
            listener.close()
            log.info("`func-py why` cannot ask this host: %s", error)
            return
        self._listener = listener
        threading.Thread(
            target=self._serve, args=(listener,), name="func-py-why", daemon=True
        ).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._closed.set()
        if self._listener is None:
            return
        # The thread waits for somebody to come: closing the socket would not wake it.
        with contextlib.suppress(OSError), _connected(self._directory, self._name):
            pass
        (self._directory / self._name).unlink(missing_ok=True)

    def _serve(self, listener: socket.socket) -> None:
        with listener:
            while not self._closed.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    # Too many open files, say; somebody else's trouble must not keep us busy.
                    self._closed.wait(_PAUSE_S)
                    continue
                try:
                    with connection:
                        self._converse(connection)
                except OSError:
                    continue  # whoever asked has gone
                except Exception:
                    log.exception("A question of `func-py why` could not be answered.")

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_S)
        if question := _read(connection):
            answer = self._answer(question.decode("utf-8", "surrogatepass"))
            connection.sendall(msgspec.json.encode(answer))

    def _answer(self, instance_id: str) -> HostAnswer:
        answer = HostAnswer(host_id=self._host_id, process=os.getpid())
        begun = threading.Event()

        async def look() -> LiveInstance:
            begun.set()
            return await self._look(instance_id)

        looking = asyncio.run_coroutine_threadsafe(look(), self._loop)
        if not begun.wait(self._loop_patience_s):
            blocked = self._blocked()
            if not begun.is_set():
                looking.cancel()
                return msgspec.structs.replace(answer, blocked=blocked)
        try:
            return msgspec.structs.replace(answer, seen=looking.result(_PATIENCE_S))
        except TimeoutError:
            return answer

    def _blocked(self) -> Blocked:
        turn = self._turn()
        whole = traceback.extract_stack(sys._current_frames()[self._loop_thread])
        frames = user_frames(whole)
        function = frames[0].name if len(frames) < len(whole) else ""
        if len(frames) > _MOST_FRAMES:
            half = _MOST_FRAMES // 2
            frames = [*frames[:half], *frames[-half:]]
        stack = [shown_frame(frame) for frame in frames]
        if turn is None:
            return Blocked(stack=stack, function=function, seconds=self._loop_patience_s)
        instance_id, orchestrator, began = turn
        return Blocked(
            stack=stack,
            function=function,
            orchestrator=orchestrator,
            instance_id=instance_id,
            seconds=max(self._loop_patience_s, self._loop.time() - began),
        )


async def ask_hosts(
    directory: Path, instance_id: str, hosts: Collection[str], patience_s: float = _PATIENCE_S
) -> list[HostAnswer]:
    """Ask hosts about an instance; those that have no socket here are left out.

    Args:
        directory: Of the hub's sockets.
        instance_id: The instance.
        hosts: Ids of hosts that live. The socket of one that was killed may still be there, held by
            a process that user code has forked.
        patience_s: How long to wait for each.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    asked = [name for name in names if name.partition(".")[0] in hosts]
    answers = await asyncio.gather(
        *(asyncio.to_thread(_ask, directory, name, instance_id, patience_s) for name in asked)
    )
    return [answer for answer in answers if answer is not None]


def _ask(directory: Path, name: str, instance_id: str, patience_s: float) -> HostAnswer | None:
    host_id, _, number = name.partition(".")
    process = int(number) if number.isdecimal() else 0
    try:
        with _connected(directory, name, patience_s) as connection:
            connection.sendall(instance_id.encode("utf-8", "surrogatepass"))
            connection.shutdown(socket.SHUT_WR)
            return msgspec.json.decode(_read(connection), type=HostAnswer)
    except TimeoutError:
        return HostAnswer(host_id=host_id, process=process)
    except ConnectionRefusedError:
        return HostAnswer(host_id=host_id, process=process, is_gone=True)
    except (OSError, msgspec.MsgspecError):
        return None


def _sweep(directory: Path) -> None:
    """Delete the sockets of hosts that were killed."""
    for name in os.listdir(directory):
        if name.startswith("."):
            continue  # not ready yet
        try:
            with _connected(directory, name):
                pass
        except ConnectionRefusedError:
            (directory / name).unlink(missing_ok=True)
        except OSError:
            continue


@contextmanager
def _connected(
    directory: Path, name: str, patience_s: float = _PATIENCE_S
) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience_s)
        with _short(directory, name) as path:
            connection.connect(path)
        yield connection


@contextmanager
def _short(directory: Path, name: str) -> Iterator[str]:
    """A path that is short enough for a socket. Where there is none, using it raises OSError."""
    path = str(directory / name)
    if len(os.fsencode(path)) <= _LONGEST_PATH or not Path("/proc/self/fd").is_dir():
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _read(connection: socket.socket) -> bytes:
    """All that comes until the other side has said all."""
    parts: list[bytes] = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)

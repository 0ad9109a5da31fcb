"""How a host tells another one of the machine that it stored something for it: it rings its bell.

A bell is a named pipe beside the host's lock file. Unlike a socket it has no port, no limit on the
length of its path, and works between containers that share the folder. It says "look", no more: a
ring that is lost, or a file system without pipes, only means that the other finds out by itself.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_RINGS_READ_AT_ONCE = 4096


class Bell:
    """The bell of this host, made when constructed. Raises OSError where there are no pipes."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o666)
        # For writing too: a pipe whose last writer has left would look rung for ever.
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        """Readable when the bell was rung."""

    def answer(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.descriptor, _RINGS_READ_AT_ONCE)) == _RINGS_READ_AT_ONCE:
                pass

    def close(self) -> None:
        """The pipe stays until the host is forgotten."""
        os.close(self.descriptor)


def ring(path: Path) -> None:
    """Ring the bell of another host; nothing happens when it is dead or has been rung enough."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"\0")
        finally:
            os.close(descriptor)

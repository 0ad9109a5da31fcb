"""How hosts of one machine see that another one lives: each keeps a file locked while it does.

The lock is POSIX's (`lockf`): it ends with the process, however that ends, and a process forked by
user code does not inherit it. It has one trap: a process that closes *any* descriptor of a file
gives up its locks on it. So a process must never open a host file that it holds itself, and that
needs the one piece of state that belongs to the process, not to an object: which files it holds.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path


class HeldFiles:
    """The host files that this process holds locked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Path, int] = {}

    def hold(self, path: Path) -> None:
        """Create the file and lock it. Raises OSError."""
        with self._lock:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(descriptor)
                raise
            self._held[path] = descriptor

    def release(self, path: Path) -> None:
        """Close the file, which unlocks it; idempotent."""
        with self._lock:
            descriptor = self._held.pop(path, None)
            if descriptor is not None:
                os.close(descriptor)

    def is_locked(self, path: Path) -> bool:
        """Does this process, or another one, hold the file?"""
        with self._lock:
            if path in self._held:
                return True
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            try:
                # Only tests: a lock taken here would look like a live host to a third process.
                os.lockf(descriptor, os.F_TEST, 0)
            except (BlockingIOError, PermissionError):
                return True
            finally:
                os.close(descriptor)
            return False

    def forget_in_child(self) -> None:
        """A forked child holds nothing: it has the descriptors, the parent has the locks."""
        self._lock = threading.Lock()
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


HELD = HeldFiles()
"""Of this process; see the module's text."""

os.register_at_fork(after_in_child=HELD.forget_in_child)

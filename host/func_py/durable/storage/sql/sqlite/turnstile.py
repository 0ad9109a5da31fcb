"""The queue in which the processes of a hub wait to write.

SQLite's own waiting is a lottery with growing pauses that starves whoever loses. A blocking file
lock hands the database on in order. It is only about fairness: `begin immediate` still excludes,
also between hubs of one process, which this lock (POSIX's, owned by the process) does not.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Turnstile:
    """A lock file, opened when first passed. Used by one thread.

    While entered it is this process's turn, and the others wait.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def enter(self) -> None:
        """Wait for this process's turn."""
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o666)
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def leave(self) -> None:
        """It is the next one's turn."""
        assert self._descriptor is not None
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

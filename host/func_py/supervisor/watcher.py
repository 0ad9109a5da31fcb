"""Watches the files of an app. Which changes count is decided here, not when to reload."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from func_py.supervisor.protocol import WatchRules
from func_py.supervisor.worker import Announcer

_ALWAYS = frozenset({"function.json", "host.json", "local.settings.json"})
_NEVER_BELOW = frozenset({"__pycache__", "node_modules", "site-packages"})
_READING = frozenset({EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE})


class FileFilter:
    """Decides which files of an app reload it.

    Hidden files and folders never do (`.venv`, `.git`, `.func-py`, temporary files of editors), nor
    what Python or a package manager writes.

    Args:
        root: The app root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.rules = WatchRules()

    def __call__(self, path: str) -> bool:
        """Whether a change of this file counts."""
        try:
            parts = PurePath(path).relative_to(self._root).parts
        except ValueError:
            return False
        if not self.rules.is_enabled or not parts:
            return False
        *folders, name = parts
        if folders and folders[0] in self.rules.directories:
            return True
        if any(folder.startswith(".") or folder in _NEVER_BELOW for folder in folders):
            return False
        if name in self.rules.files:
            return True
        if name.startswith(".") or not (name.endswith(".py") or name in _ALWAYS):
            return False
        # A virtual environment may have any name.
        return not (folders and (self._root / folders[0] / "pyvenv.cfg").exists())


class Watcher(FileSystemEventHandler):
    """Notes changed files; something to select on. See `Changes`."""

    def __init__(self, root: Path) -> None:
        self._counts = FileFilter(root)
        self._changed: deque[str] = deque()
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def fileno(self) -> int:
        """Readable when a file has changed."""
        return self._read.fileno()

    def take(self) -> Sequence[str]:
        """The files that changed since the last call."""
        with suppress(BlockingIOError):
            self._read.recv(4096)
        return [self._changed.popleft() for _ in range(len(self._changed))]

    def obey(self, rules: WatchRules) -> None:
        """From now on tell of the files that these rules name."""
        self._counts.rules = rules

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a change; called in a thread of watchdog."""
        if event.is_directory or event.event_type in _READING:
            return
        # An atomic save renames a temporary file: what counts is where it went.
        for path in (event.src_path, event.dest_path):
            if path and self._counts(os.fsdecode(path)):
                self._changed.append(os.fsdecode(path))
                with suppress(BlockingIOError, OSError):
                    self._write.send(b".")

    def close(self) -> None:
        """Give the descriptors back."""
        self._read.close()
        self._write.close()


@contextmanager
def watching(root: Path, announcer: Announcer) -> Iterator[Watcher]:
    """Watch an app while entered. Where that cannot be done, it is said, and nothing changes."""
    watcher = Watcher(root)
    observer = Observer()
    observer.schedule(watcher, str(root), recursive=True)
    # It may tell of trouble at the end, which is none of the user's.
    logging.getLogger("watchdog").addHandler(logging.NullHandler())

    def start() -> None:
        try:
            observer.start()
        except OSError as exc:
            announcer.complain(
                f"Changes of files are not noticed: the system refuses to watch them ({exc}). "
                "On Linux, raise fs.inotify.max_user_watches or fs.inotify.max_user_instances."
            )

    # Aside, because a tree with a virtual environment in it takes a tenth of a second.
    starting = threading.Thread(target=start, name="func-py-watcher", daemon=True)
    starting.start()
    try:
        yield watcher
    finally:
        starting.join()
        if observer.is_alive():
            observer.stop()
            observer.join()
        watcher.close()

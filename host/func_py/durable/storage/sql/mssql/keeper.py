"""Keeps a host alive in the eyes of the others.

It has a thread and a connection of its own: user code that blocks the event loop, and a group of
writes that waits for its turn, do not cost the host its life.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from func_py.durable.storage.sql.lease import HostLease
from func_py.durable.storage.sql.mssql.connection import MssqlConnection
from func_py.durable.storage.sql.mssql.session import DRIVER_ERRORS
from func_py.durable.storage.sql.revival import FIRST_PAUSE_S, LONGEST_PAUSE_S


class Keeper:
    """Renews the lease of one host until it is closed.

    Args:
        host_id: The host.
        lease: How long it lives without a sign of life.
        connect: Makes the connection.
    """

    def __init__(
        self, host_id: str, lease: timedelta, connect: Callable[[], MssqlConnection]
    ) -> None:
        self._host_id = host_id
        self.lease = HostLease(lease)
        self._connect = connect
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"func-py storage keeper {host_id}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread. From now on the lease runs out."""
        self._closed.set()
        self._thread.join()

    # ---- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                with contextlib.closing(self._connect()) as connection:
                    pause_s = FIRST_PAUSE_S
                    self._keep(connection)
            except DRIVER_ERRORS:
                self._closed.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _keep(self, connection: MssqlConnection) -> None:
        """Renew; returns when the keeper is closed."""
        is_closed = False
        while not is_closed:
            began = time.monotonic()
            if connection.execute("renew_host", self._host_id):
                self.lease.renewed(began)
            else:
                self.lease.forgotten()
            is_closed = self._closed.wait(self.lease.pause_s)

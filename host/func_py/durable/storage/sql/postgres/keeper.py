"""Keeps a host alive in the eyes of the others, and listens for their rings.

It has a thread and a connection of its own: user code that blocks the event loop, and a group of
writes that waits for its turn, do not cost the host its life.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg

from func_py.durable.storage.sql.lease import HostLease
from func_py.durable.storage.sql.postgres.connection import PostgresConnection
from func_py.durable.storage.sql.revival import FIRST_PAUSE_S, LONGEST_PAUSE_S

_READ_AT_ONCE = 4096


def channel_of(host_id: str) -> str:
    """The channel on which a host is rung."""
    return f"func_py:{host_id}"


class Keeper:
    """Renews the lease of one host until it is closed.

    Args:
        host_id: The host.
        lease: How long it lives without a sign of life.
        connect: Makes the connection.
    """

    def __init__(
        self, host_id: str, lease: timedelta, connect: Callable[[], PostgresConnection]
    ) -> None:
        self._host_id = host_id
        self.lease = HostLease(lease)
        self._connect = connect
        self.bell, self._hammer = _pipe()
        """Readable when the host was rung."""
        self._stopped, self._stop = _pipe()
        self._thread = threading.Thread(
            target=self._run, name=f"func-py storage keeper {host_id}", daemon=True
        )
        self._thread.start()

    def answer(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.bell, _READ_AT_ONCE)) == _READ_AT_ONCE:
                pass

    def close(self) -> None:
        """End the thread. From now on the lease runs out."""
        os.write(self._stop, b"\0")
        self._thread.join()
        for descriptor in (self.bell, self._hammer, self._stopped, self._stop):
            os.close(descriptor)

    # ---- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        stopped = False
        while not stopped:
            try:
                with contextlib.closing(self._connect()) as connection:
                    channel = channel_of(self._host_id)
                    connection.raw.execute(f'listen "{channel}"')
                    # Nobody listened until now.
                    self._ring()
                    pause_s = FIRST_PAUSE_S
                    self._keep(connection)
                    stopped = True
            except psycopg.Error:
                stopped = self._wait_for(None, pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _keep(self, connection: PostgresConnection) -> None:
        """Renew and listen; returns when the keeper is closed."""
        while True:
            began = time.monotonic()
            if connection.execute("renew_host", self._host_id):
                self.lease.renewed(began)
            else:
                self.lease.forgotten()
                self._ring()
            next_at = began + self.lease.pause_s
            while (left_s := next_at - time.monotonic()) > 0:
                if self._wait_for(connection, left_s):
                    return
                if any(connection.raw.notifies(timeout=0)):
                    self._ring()

    def _wait_for(self, connection: PostgresConnection | None, seconds: float) -> bool:
        """Wait until something comes from the server, or the time is over; is the keeper closed?"""
        poll = select.poll()
        poll.register(self._stopped, select.POLLIN)
        if connection is not None:
            poll.register(connection.raw.fileno(), select.POLLIN)
        ready = poll.poll(seconds * 1000)
        return any(descriptor == self._stopped for descriptor, _ in ready)

    def _ring(self) -> None:
        # A pipe that is full has been rung enough.
        with contextlib.suppress(BlockingIOError):
            os.write(self._hammer, b"\0")


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends

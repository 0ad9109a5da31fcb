"""Ends a server so that no request is lost that a client has begun to send."""

from __future__ import annotations

import asyncio
import socket

from func_py.web.server import Server

_PAUSE_S = 0.01


async def stop_accepting(listener: socket.socket) -> None:
    """Have the loop look at a listening socket no more."""
    asyncio.get_running_loop().remove_reader(listener.fileno())
    # The loop makes connections of sockets it has accepted in its next round, and drops them when
    # the listener is closed by then.
    for _ in range(2):
        await asyncio.sleep(0)


async def accept_waiting(listener: socket.socket, server: Server) -> None:
    """Take the connections that wait on a listening socket which the loop does not look at.

    When it is closed, the kernel resets those that nobody has accepted, with what clients have
    sent on them. Nobody waits when this returns, so close it in the same round of the loop.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # Nobody waits any more.
        connection.setblocking(False)
        await loop.connect_accepted_socket(server, connection)


async def wait_for_connections(server: Server, limit_s: float) -> None:
    """Wait until no connection is open, or the time is over.

    A connection that is kept alive looks idle while a client's next request is on its way. Its
    answer is then the last.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while server.connections and loop.time() < deadline:  # noqa: ASYNC110
        # Polled, because the server tells nobody when a connection ends.
        await asyncio.sleep(_PAUSE_S)

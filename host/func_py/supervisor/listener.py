"""The listening socket. It outlives every child, so that no connection is refused in between."""

from __future__ import annotations

import errno
import ipaddress
import socket

from func_py.errors import UserError

_BACKLOG = 2048


def open_listener(address: str, port: int) -> socket.socket:
    """Bind and listen; port 0 takes a free one.

    Raises:
        UserError: Not an IP address, or the port cannot be had. One line, says what to do.
    """
    try:
        version = ipaddress.ip_address(address).version
    except ValueError as exc:
        raise UserError(
            f"Invalid --address value '{address}'. "
            "Expected an IP address, for example 127.0.0.1 or 0.0.0.0."
        ) from exc
    listener = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
    try:
        # A port whose last owner just ended is free; one that somebody listens on is not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        raise UserError(_explain(exc, address, port)) from exc
    return listener


def base_url(listener: socket.socket) -> str:
    """How a browser on this machine reaches the socket: `http://localhost:7071`."""
    host, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(host)
    if ip.is_loopback or ip.is_unspecified:
        host = "localhost"
    elif ip.version == 6:
        host = f"[{host}]"
    return f"http://{host}:{port}"


def _explain(exc: OSError, address: str, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is unavailable. Close the process using that port, "
            "or specify another port using --port [-p]."
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"This machine has no address {address}; see --address."
    if exc.errno == errno.EACCES:
        return (
            f"This user may not listen on port {port}: ports below 1024 need a right. "
            "Specify another port using --port [-p] or PORT."
        )
    return f"Cannot listen on {address}, port {port}: {exc.strerror}."

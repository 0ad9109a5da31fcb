"""An editor, as far as its debugger goes: speaks the Debug Adapter Protocol."""

from __future__ import annotations

import json
import socket
from typing import Any, BinaryIO

LIMIT_S = 20.0
ATTACH_LIMIT_S = 2.0


class DebugClient:
    """Attached to a debugger that listens on a port of this machine.

    Raises:
        OSError: Nobody listens, or the debugger is just ending with its program.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ATTACH_LIMIT_S)
        self._file: BinaryIO = self._socket.makefile("rb")
        self._sent = 0
        self._early: list[dict[str, Any]] = []
        try:
            self.send("initialize", adapterID="test", clientID="test")
            self.wait_for("response", "initialize")
            self.send("attach", justMyCode=False)
            self.wait_for("event", "initialized")
        except BaseException:
            self.close()
            raise
        self._socket.settimeout(LIMIT_S)

    def send(self, command: str, **arguments: Any) -> None:
        """Send a request."""
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def wait_for(self, kind: str, name: str) -> dict[str, Any]:
        """The next message of this type, and event or command; others are kept."""

        def fits(message: dict[str, Any]) -> bool:
            return message["type"] == kind and name in (
                message.get("event"),
                message.get("command"),
            )

        for message in self._early:
            if fits(message):
                self._early.remove(message)
                return message
        while not fits(message := self._receive()):
            self._early.append(message)
        return message

    def close(self) -> None:
        """Leave; the program goes on."""
        self._file.close()
        self._socket.close()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise ConnectionError("the debugger has closed the connection")
        message: dict[str, Any] = json.loads(self._file.read(length))
        return message

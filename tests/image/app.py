"""The app that is packed, and a load on it that must not lose anything."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CODE = """
import asyncio
import os

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="pause")
async def pause(req: func.HttpRequest) -> str:
    await asyncio.sleep(float(req.params.get("s", "0.05")))
    return "paused"


@app.route(route="secret")
async def secret(req: func.HttpRequest) -> str:
    return os.environ.get("PASSPHRASE", "none")


@app.route(route="flows", methods=["POST"])
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> str:
    return await client.start_new("flow", client_input=req.get_json())


@app.orchestration_trigger(context_name="context")
def flow(context: df.DurableOrchestrationContext):
    total = 0
    for number in range(5):
        total += yield context.call_activity("step", number)
    return total


@app.activity_trigger(input_name="number")
async def step(number: int) -> int:
    await asyncio.sleep(0.02)
    return number
"""
RESULT = 10
"""What each flow returns."""


def write_app(root: Path) -> Path:
    """The app root."""
    root.mkdir(parents=True)
    (root / "host.json").write_text('{"version": "2.0"}')
    (root / "function_app.py").write_text(CODE)
    (root / "requirements.txt").write_text("azure-functions\nazure-functions-durable\n")
    (root / "local.settings.json").write_text('{"Values": {"PASSPHRASE": "from this machine"}}')
    (root / ".funcignore").write_text("notes\n")
    (root / "notes").mkdir()
    (root / "notes" / "todo.txt").write_text("nothing")
    return root


@dataclass
class Load:
    """Clients that call the app until it refuses connections.

    Half of them keep their connection. A request counts as lost when its connection was made and
    no answer came.
    """

    url: str
    key: str
    clients: int = 8
    answers: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    """Ids of the flows whose start was answered."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to call."""
        for number in range(self.clients):
            thread = threading.Thread(target=self._call, args=(number % 2 == 0, number % 4 < 2))
            thread.start()
            self._threads.append(thread)

    def wait(self) -> None:
        """Wait until every client was refused."""
        for thread in self._threads:
            thread.join()

    def _call(self, keep: bool, starts: bool) -> None:
        address = urlsplit(self.url)
        host, port = str(address.hostname), int(address.port or 80)
        connection: http.client.HTTPConnection | None = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection(host, port, timeout=30)
                try:
                    connection.connect()
                except OSError:
                    return
            try:
                if not self._one(connection, starts) or not keep:
                    connection.close()
                    connection = None
            except Exception as error:  # noqa: BLE001  # Told by the test.
                with self._lock:
                    self.lost.append(repr(error))
                return

    def _one(self, connection: http.client.HTTPConnection, starts: bool) -> bool:
        """One request; whether the connection may be used again."""
        headers = {"x-functions-key": self.key}
        if starts:
            connection.request("POST", "/api/flows", json.dumps({}), headers)
        else:
            connection.request("GET", "/api/pause", headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        with self._lock:
            self.answers[answer.status] += 1
            if starts and answer.status == 200:
                self.started.append(text)
        return not answer.will_close

"""Reload: from the save of a file to the first answer of the new code, under load.

Meanwhile orchestrations are alive, and two clients send 100 requests a second, one of them on
connections that it keeps alive. The debounce is part of the time.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.spawned import Spawned, func_py_start
from benchmarks.table import passed, print_table

EDITS = 20
LIVE = 50
RATE = 100
TARGET_S = 0.25

_APP = """\
import azure.durable_functions as df
import azure.functions as func

import texts

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="ping")
async def ping(req: func.HttpRequest) -> str:
    return texts.TEXT


@app.route(route="begin", methods=["POST"])
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new("tour"))


@app.orchestration_trigger(context_name="context")
def tour(context: df.DurableOrchestrationContext):
    seen = []
    for _ in range(3):
        yield context.wait_for_external_event("go")
        seen.append((yield context.call_activity("tell", None)))
    return seen


@app.activity_trigger(input_name="nothing")
def tell(nothing: None) -> str:
    return texts.TEXT
"""


class Client:
    """Requests over one connection, a new one when the host has closed it."""

    def __init__(self, port: int, *, keeps_alive: bool = True) -> None:
        self._port = port
        self._keeps_alive = keeps_alive
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """Status and text; an exception when there is no answer."""
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        self._connection = None
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.will_close or not self._keeps_alive:
            connection.close()
        else:
            self._connection = connection
        return answer.status, text


class Load(threading.Thread):
    """Sends requests at a rate, and counts."""

    def __init__(self, port: int, *, keeps_alive: bool) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.failed = 0
        self.is_over = False
        self._client = Client(port, keeps_alive=keeps_alive)
        self.start()

    def run(self) -> None:
        """Until `is_over`."""
        due = time.perf_counter()
        while not self.is_over:
            try:
                is_good = self._client.send("GET", "/api/ping")[0] == 200
            except (OSError, http.client.HTTPException):
                is_good = False
            self.answered += is_good
            self.failed += not is_good
            due += 2 / RATE
            time.sleep(max(0.0, due - time.perf_counter()))


def edit(app: Path, client: Client, text: str) -> float:
    """Save a file; the seconds until its content is answered."""
    beside = app / ".texts.py.tmp"
    beside.write_text(f"TEXT = {text!r}\n")
    began = time.perf_counter()
    beside.replace(app / "texts.py")
    while client.send("GET", "/api/ping")[1] != text:
        time.sleep(0.002)
    return time.perf_counter() - began


def finished(client: Client, status_url: str) -> bool:
    """Wait for an instance's end; whether it completed."""
    path = status_url[status_url.index("/", len("http://")) :]
    for _ in range(1000):
        status, text = client.send("GET", path)
        if status == 200:
            return json.loads(text)["runtimeStatus"] == "Completed"  # type: ignore[no-any-return]
        time.sleep(0.01)
    return False


def measure(host: Spawned, app: Path) -> None:
    """Edit, and print the table."""
    client = Client(host.port, keeps_alive=False)
    starts = [json.loads(client.send("POST", "/api/begin")[1]) for _ in range(LIVE)]
    loads = [Load(host.port, keeps_alive=True), Load(host.port, keeps_alive=False)]
    times = []
    for number in range(EDITS):
        times.append(edit(app, client, f"text {number}"))
        if number % 7 == 0:
            for start in starts:
                url = start["sendEventPostUri"].replace("{eventName}", "go")
                client.send("POST", url[url.index("/", len("http://")) :], "null")
    for load in loads:
        load.is_over = True
        load.join()
    completed = sum(finished(client, start["statusQueryGetUri"]) for start in starts)
    failed = sum(load.failed for load in loads)
    answered = sum(load.answered for load in loads)
    median = statistics.median(times)
    slow = max(times)
    rows = [
        ["save to new code", f"{median:.3f} s", f"< {TARGET_S} s", passed(median < TARGET_S)],
        ["slowest", f"{slow:.3f} s", "", ""],
        [f"failed of {answered + failed} requests", f"{failed}", "0", passed(failed == 0)],
        ["live orchestrations finished", f"{completed}", f"{LIVE}", passed(completed == LIVE)],
    ]
    print_table(f"Reload: {EDITS} edits at {RATE} requests/s", ["", "measured", "target", ""], rows)


def main() -> None:
    """Run it in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app"
        app.mkdir()
        (app / "host.json").write_text('{"version": "2.0"}')
        (app / "function_app.py").write_text(_APP)
        (app / "texts.py").write_text('TEXT = ""\n')
        with func_py_start(Path(folder)) as host:
            measure(host, app)


if __name__ == "__main__":
    main()

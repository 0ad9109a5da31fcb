"""As many clients as possible start an orchestration over HTTP at the same moment.

`python -m benchmarks.http_starts` from the folder `tests`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.spawned import func_py_start
from benchmarks.table import passed, print_table

CLIENTS = 2_000

_START = b"POST /api/start/sequence HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
_UNFINISHED = (
    b"GET /runtime/webhooks/durabletask/instances?top=1&runtimeStatus=Pending,Running HTTP/1.1\r\n"
    b"Host: localhost\r\n\r\n"
)

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _ask(connection: _Connection, request: bytes) -> tuple[int, bytes]:
    """Send a request; status and body of the answer."""
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split(b" ")[1]), await reader.readexactly(length)


async def _wait_for_the_last(connection: _Connection) -> None:
    while True:
        _, unfinished = await _ask(connection, _UNFINISHED)
        if not json.loads(unfinished):
            return
        await asyncio.sleep(0.01)


async def measure(port: int) -> list[list[str]]:
    """Connect all clients, let all of them ask, and wait for the last orchestration."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
    began = time.perf_counter()
    latencies: list[float] = []

    async def start(connection: _Connection) -> int:
        status, _ = await _ask(connection, _START)
        latencies.append(time.perf_counter() - began)
        return status

    statuses = await asyncio.gather(*(start(connection) for connection in connections))
    accepted = time.perf_counter() - began
    await _wait_for_the_last(connections[0])
    done = time.perf_counter() - began
    for _, writer in connections:
        writer.close()
    refused = len(statuses) - statuses.count(202)
    return [
        ["answers other than 202", f"{refused}", "0", passed(refused == 0)],
        ["last answer", f"{1000 * accepted:.0f} ms", "", ""],
        ["median answer", f"{1000 * statistics.median(latencies):.0f} ms", "", ""],
        ["starts/s", f"{CLIENTS / accepted:,.0f}", "", ""],
        ["last one completed", f"{1000 * done:.0f} ms", "", ""],
        ["orchestrations/s from start to end", f"{CLIENTS / done:,.0f}", "", ""],
    ]


def main() -> None:
    """Run it against a `func-py start`."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"Machine: {describe_machine(Path(folder))}")
        with func_py_start(Path(folder)) as host:
            host.request("POST", "/api/start/sequence")
            rows = asyncio.run(measure(host.port))
    print_table(f"{CLIENTS:,} starts over HTTP at once", ["", "", "target", "ok"], rows)


if __name__ == "__main__":
    main()

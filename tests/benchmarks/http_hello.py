"""Requests per second of trivial HTTP functions, next to a bare aiohttp handler in the same run.

    python tests/benchmarks/http_hello.py [--seconds 1.5] [--rounds 3] [--connections 32]

Each server runs in a process of its own and logs every invocation to a file; the load generator
keeps connections alive and runs in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from func_py.runtime.interpreter import settle_interpreter

APP = """\
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="async/{name}")
async def hello_async(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("Hello, " + req.route_params["name"])


@app.route(route="sync/{name}")
def hello_sync(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("Hello, " + req.route_params["name"])
"""


class Result(NamedTuple):
    """One measurement: requests per second, median latency, the server's time per request."""

    rate: float
    median_ms: float
    cpu_us: float


async def serve_bare(sock: socket.socket) -> None:
    """What is compared against: a handler of aiohttp's own application."""
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="Hello, " + request.match_info["name"])

    app = web.Application()
    app.router.add_get("/api/async/{name}", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    await asyncio.Event().wait()


async def serve_func_py(sock: socket.socket, folder: Path) -> None:
    """The front end with the app above, invocation log on, written to a file."""
    from func_py.discovery import load_app
    from func_py.invocation import Invoker
    from func_py.logs import Logs, LogSettings
    from func_py.web import HttpFrontEnd

    logs = Logs(LogSettings(file=folder / "host.log"))
    invoker = Invoker(logs, timeout=timedelta(minutes=30))  # What a host has by default.
    logs.install(invoker.current)
    front_end = HttpFrontEnd(load_app(folder), invoker)
    await front_end.start(sock)
    await asyncio.Event().wait()


async def load(port: int, path: str, connections: int, seconds: float) -> tuple[int, list[float]]:
    """Send requests for a while; returns the count and the latencies in seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: */*\r\n\r\n".encode()
    deadline = time.perf_counter() + seconds
    latencies: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < deadline:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return len(latencies), latencies


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used (Linux only; elsewhere not a number)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(kind: str, path: str, folder: Path, args: argparse.Namespace) -> Result:
    """Load one server in a process of its own."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    command = [sys.executable, __file__, "--serve", kind, str(sock.fileno()), str(folder)]
    process = subprocess.Popen(command, pass_fds=[sock.fileno()])
    sock.close()
    try:
        asyncio.run(load(port, path, args.connections, 0.5))
        cpu = cpu_seconds(process.pid)
        count, latencies = asyncio.run(load(port, path, args.connections, args.seconds))
        cpu = cpu_seconds(process.pid) - cpu
    finally:
        process.terminate()
        process.wait()
    return Result(
        rate=count / args.seconds,
        median_ms=statistics.median(latencies) * 1000,
        cpu_us=cpu / count * 1e6,
    )


def main() -> None:
    """Run the table, or one server when called with --serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "FD", "FOLDER"))
    args = parser.parse_args()
    if args.serve:
        kind, fd, folder = args.serve
        sock = socket.socket(fileno=int(fd))
        settle_interpreter()  # as `func-py start` does; it is the bare server's as well
        asyncio.run(serve_bare(sock) if kind == "bare" else serve_func_py(sock, Path(folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "function_app.py").write_text(APP)
        servers = {
            "bare aiohttp": ("bare", "/api/async/world"),
            "func-py, async": ("func-py", "/api/async/world"),
            "func-py, sync": ("func-py", "/api/sync/world"),
        }
        # Rounds are interleaved and the best of each counts, so that what else runs harms all.
        rounds = [
            {label: measure(kind, path, folder, args) for label, (kind, path) in servers.items()}
            for _ in range(args.rounds)
        ]
    print(f"{'server':<16}{'requests/s':>12}{'of bare':>9}{'median ms':>11}{'CPU us/request':>16}")
    bare = max(result["bare aiohttp"].rate for result in rounds)
    for label in servers:
        rate, median_ms, _ = max(result[label] for result in rounds)
        cpu_us = min(result[label].cpu_us for result in rounds)
        print(f"{label:<16}{rate:>12,.0f}{rate / bare:>9.0%}{median_ms:>11.2f}{cpu_us:>16.1f}")


if __name__ == "__main__":
    main()

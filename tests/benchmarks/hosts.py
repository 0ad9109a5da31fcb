"""Several hosts on one task hub: what they do together, and what becomes of the work of the dead.

Every host is a `func-py start` with its default settings, in a process group of its own; this
process is a client that starts orchestrations and looks whether they have ended. The PostgreSQL
server is the one that the tests use, with its defaults: what is committed is on disk.

`python -m benchmarks.hosts [--rounds N]` in the folder `tests`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.postgres_server import running_server

from benchmarks.deaths import print_deaths
from benchmarks.machine import describe_machine
from benchmarks.shared_hub import SharedHub, postgres_settings, shared_hub, sqlite_settings
from benchmarks.spawned import func_py_start
from benchmarks.table import passed, print_table

ROUNDS = 3
MOST_TIMES = 2.5
"""SQLite's rate, against one host on PostgreSQL."""
LEAST_GAIN = 1.3
"""Of two processes on one SQLite file, when activities compute."""

_SEQUENCES = 300
_FAN_OUT = 3000
_CHAIN = 400
_SIGNALS, _SENDERS, _COUNTERS = 200, 10, 20
_COMPUTING = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something to do, and what is counted of it; `run` returns the seconds it took."""

    title: str
    count: int
    run: Callable[[SharedHub], Awaitable[float]]


async def _signal(hub: SharedHub) -> float:
    loop = asyncio.get_running_loop()
    wanted = await hub.counted(_COUNTERS) + _SENDERS * _SIGNALS
    began = loop.time()
    await hub.run("signal_counters", [f"[{_SIGNALS}, {_COUNTERS}]"] * _SENDERS)
    await hub.reached(_COUNTERS, wanted)
    return loop.time() - began


WORKS = (
    Work(
        title=f"{_SEQUENCES} sequences of 3 (instances/s)",
        count=_SEQUENCES,
        run=lambda hub: hub.run("sequence", [None] * _SEQUENCES),
    ),
    Work(
        title=f"fan-out {_FAN_OUT:,} (activities/s)",
        count=_FAN_OUT,
        run=lambda hub: hub.run("fan_out", [str(_FAN_OUT)]),
    ),
    Work(
        title=f"chain of {_CHAIN} (activities/s)",
        count=_CHAIN,
        run=lambda hub: hub.run("chain", [str(_CHAIN)]),
    ),
    Work(
        title=f"{_SENDERS * _SIGNALS:,} signals to {_COUNTERS} entities (signals/s)",
        count=_SENDERS * _SIGNALS,
        run=_signal,
    ),
)
COMPUTING = Work(
    title=f"{_COMPUTING} activities that compute (activities/s)",
    count=_COMPUTING,
    run=lambda hub: hub.run("fan_out_computing", [str(_COMPUTING)]),
)


@asynccontextmanager
async def working(
    folder: Path, settings: Mapping[str, str], hosts: int, arguments: Sequence[str] = ()
) -> AsyncIterator[SharedHub]:
    """A hub with so many hosts, each in a folder of its own; warm."""
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(shared_hub(settings, folder / "client"))
        for number in range(hosts):
            own = folder / f"host{number}"
            state = sqlite_settings(own / "state")
            stack.enter_context(func_py_start(own, {**state, **settings}, arguments))
        await hub.run("sequence", [None] * 100)
        yield hub


async def rates(work: Work, hubs: Sequence[SharedHub], rounds: int) -> list[float]:
    """What was done per second on each of the hubs, in turns; medians."""
    found: list[list[float]] = [[] for _ in hubs]
    for _ in range(rounds):
        for hub, each in zip(hubs, found, strict=True):
            each.append(work.count / await work.run(hub))
    return [statistics.median(each) for each in found]


async def compare_servers(folder: Path, uri: str, rounds: int) -> None:
    """One host on SQLite, one on PostgreSQL, two on PostgreSQL."""
    rows = []
    async with (
        working(folder / "lite", sqlite_settings(folder / "file"), 1) as lite,
        working(folder / "one", postgres_settings(uri, hub="One"), 1) as one,
        working(folder / "two", postgres_settings(uri, hub="Two"), 2) as two,
    ):
        for work in WORKS:
            found = await rates(work, (lite, one, two), rounds)
            times = found[0] / found[1]
            cells = [f"{rate:,.0f}" for rate in found]
            target = [f"{times:.2f}", f"< {MOST_TIMES}", passed(times < MOST_TIMES)]
            rows.append([work.title, *cells, *target])
    header = ["", "SQLite", "PostgreSQL", "two hosts", "SQLite/PostgreSQL", "target", "ok"]
    print_table("A hub on a server", header, rows)


async def compare_processes(folder: Path, rounds: int) -> None:
    """One process of the app on SQLite, and two."""
    async with (
        working(folder / "w1", sqlite_settings(folder / "file1"), 1) as one,
        working(folder / "w2", sqlite_settings(folder / "file2"), 1, ["--workers", "2"]) as two,
    ):
        found = await rates(COMPUTING, (one, two), rounds)
    gain = found[1] / found[0]
    cells = [f"{rate:,.1f}" for rate in found]
    row = [COMPUTING.title, *cells, f"{gain:.2f}", f"> {LEAST_GAIN}", passed(gain > LEAST_GAIN)]
    header = ["SQLite", "one process", "two", "gain", "target", "ok"]
    print_table("Processes of one machine (--workers)", header, [row])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="medians are taken over these")
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="func-py-") as name, running_server() as server:
        folder = Path(name)
        print(f"Machine: {describe_machine(folder)}")
        asyncio.run(compare_servers(folder, server.uri, rounds))
        asyncio.run(compare_processes(folder, rounds))
        asyncio.run(print_deaths(folder / "deaths", server.uri))


if __name__ == "__main__":
    main()

"""Large orchestrations, and many that wait: time and memory grow no faster than the work.

`python -m benchmarks.scale` from the folder `tests`. Each size runs in a process of its own: what
one has held once shows in its memory for ever.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.engine_host import EngineHost
from benchmarks.machine import describe_machine
from benchmarks.table import passed, print_table
from benchmarks.workloads import sample_functions

SIZES = (1_000, 10_000)
MAX_GROWTH = 1.3
"""Of the cost of a unit, from the small size to the large one."""
MAX_BYTES = {"fan_out": 5_000, "chain": 1_000}
"""Memory at the peak, per activity of the large size."""

_WAITING = 10_000
_IDLE_S = 3.0
_KB = 1024


class Run(NamedTuple):
    """One orchestration: seconds it took, and by how many bytes memory grew for it at the peak."""

    elapsed_s: float
    grown: int


async def run_one(orchestrator: str, size: int) -> Run:
    """Run an orchestration of this size in this process, after a small one."""
    with tempfile.TemporaryDirectory() as folder:
        async with EngineHost(Path(folder), sample_functions()) as host:
            await host.run(orchestrator, "100")
            before = _peak()
            began = time.perf_counter()
            await host.run(orchestrator, str(size))
            return Run(time.perf_counter() - began, _peak() - before)


async def waiting() -> None:
    """Let many instances wait for an event, and print what they cost while nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        async with EngineHost(Path(folder), sample_functions()) as host:
            await host.raise_and_wait(await host.start_waiting("wait_for_go"), "go")
            pid = processes.own_pid()
            before = _held()
            for _ in range(_WAITING // 500):
                await asyncio.gather(*(host.start_waiting("wait_for_go") for _ in range(500)))
            each = (_held() - before) / _WAITING
            busy = processes.cpu_s(pid)
            began = time.perf_counter()
            await asyncio.sleep(_IDLE_S)
            cpu = (processes.cpu_s(pid) - busy) / (time.perf_counter() - began)
    rows = [
        ["memory per instance", f"{each / _KB:.1f} KB", "< 10 KB", passed(each < 10 * _KB)],
        ["CPU while idle", f"{cpu:.2%}", "< 1%", passed(cpu < 0.01)],
    ]
    print_table(f"{_WAITING:,} waiting instances, live", ["", "", "target", "ok"], rows)


def large() -> None:
    """Run both kinds in both sizes and print how they grow."""
    rows = []
    for orchestrator, most in MAX_BYTES.items():
        small, big = (_in_process(orchestrator, size) for size in SIZES)
        growth = (big.elapsed_s / SIZES[1]) / (small.elapsed_s / SIZES[0])
        each = big.grown / SIZES[1]
        rows.append(
            [
                f"{orchestrator.replace('_', '-')} {SIZES[1]:,}",
                f"{big.elapsed_s:.2f} s",
                f"{1e6 * big.elapsed_s / SIZES[1]:.0f} us",
                f"{growth:.2f}",
                f"{each / _KB:.1f} KB",
                f"< {MAX_GROWTH}, < {most / _KB:.0f} KB",
                passed(growth < MAX_GROWTH and each < most),
            ]
        )
    header = [
        "one orchestration",
        "took",
        "per activity",
        f"against {SIZES[0]:,}",
        "memory per activity",
        "target",
        "ok",
    ]
    print_table("Large orchestrations", header, rows)


def _in_process(orchestrator: str, size: int) -> Run:
    command = [sys.executable, "-m", "benchmarks.scale", "--one", orchestrator, str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Run(*json.loads(output))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KB


def _held() -> int:
    gc.collect()
    return processes.memory(processes.own_pid()).rss


def main() -> None:
    """Run the tables, or one orchestration when called with --one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("ORCHESTRATOR", "SIZE"))
    arguments = parser.parse_args()
    if arguments.one:
        orchestrator, size = arguments.one
        print(json.dumps(asyncio.run(run_one(orchestrator, int(size)))))
        return
    print(f"Machine: {describe_machine(Path(tempfile.gettempdir()))}")
    large()
    asyncio.run(waiting())


if __name__ == "__main__":
    main()

"""The durable engine beside its floor: the same workloads, alternating, in one table.

`python -m benchmarks.durable [--rounds N]` from the folder `tests`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.engine_host import EngineHost
from benchmarks.floor import Floor
from benchmarks.machine import describe_machine
from benchmarks.table import passed, print_table
from benchmarks.workloads import (
    CHAINS,
    FAN_OUTS,
    SEQUENCE,
    WORKLOADS,
    Workload,
    sample_functions,
    user_functions,
)
from func_py.runtime.interpreter import settle_interpreter
from func_py_bindings.contract import FunctionSpec

ROUNDS = 3
SHARE = 0.5
"""Of the floor, at least."""
MAX_GROWTH = 1.3
"""Cost of a unit in the largest size of a workload, against that in the smallest."""

_SINGLES = 100
_EVENT_MS = 5

Rates = dict[Workload, list[float]]


async def engine_rate(host: EngineHost, workload: Workload) -> float:
    """Run a workload with as many closed-loop clients as it says; returns its rate."""
    left = workload.runs

    async def client() -> None:
        nonlocal left
        while left:
            left -= 1
            await host.run(workload.orchestrator, workload.input)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(workload.concurrent)))
    return workload.rate_of(time.perf_counter() - began)


async def single_times(host: EngineHost) -> list[float]:
    """Start to complete of one sequence at a time, in seconds."""
    times = []
    for _ in range(_SINGLES):
        began = time.perf_counter()
        await host.run(SEQUENCE.orchestrator, None)
        times.append(time.perf_counter() - began)
    return times


async def event_times(host: EngineHost) -> list[float]:
    """From raising an event to the end of the instance that waits for it, in seconds."""
    times = []
    for _ in range(_SINGLES):
        instance_id = await host.start_waiting("wait_for_go")
        began = time.perf_counter()
        await host.raise_and_wait(instance_id, "go")
        times.append(time.perf_counter() - began)
    return times


async def compare(specs: Sequence[FunctionSpec], rounds: int) -> None:
    """Run floor and engine in turns and print what they did."""
    functions = user_functions(specs)
    floors: Rates = {workload: [] for workload in WORKLOADS}
    engines: Rates = {workload: [] for workload in WORKLOADS}
    floor_singles: list[float] = []
    singles: list[float] = []
    events: list[float] = []
    one = Workload(title="", orchestrator=SEQUENCE.orchestrator, steps=3, takes_input=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Floor(Path(folder) / "floor.db", functions)) as floor,
    ):
        print(f"Machine: {describe_machine(Path(folder))}")
        async with EngineHost(Path(folder), specs) as host:
            await engine_rate(host, SEQUENCE)  # warm up both
            floor.run(SEQUENCE)
            for _ in range(rounds):
                for workload in WORKLOADS:
                    floors[workload].append(workload.rate_of(floor.run(workload)))
                    engines[workload].append(await engine_rate(host, workload))
                floor_singles += [floor.run(one) for _ in range(_SINGLES)]
                singles += await single_times(host)
                events += await event_times(host)
    _print_rates(floors, engines)
    _print_latencies(floor_singles, singles, events)
    _print_growth(engines)


def _print_rates(floors: Rates, engines: Rates) -> None:
    rows = []
    for workload in WORKLOADS:
        floor = statistics.median(floors[workload])
        engine = statistics.median(engines[workload])
        share = engine / floor
        wanted = f"{workload.target:,.0f}, " if workload.target else ""
        is_met = share >= SHARE and engine >= workload.target
        rows.append(
            [
                f"{workload.title} ({workload.rate})",
                f"{floor:,.0f}",
                f"{engine:,.0f}",
                f"{share:.0%}",
                f"{wanted}{SHARE:.0%}",
                passed(is_met),
            ]
        )
    header = ["workload", "floor", "engine", "engine/floor", "target", "ok"]
    print_table("Throughput", header, rows)


def _print_latencies(
    floor: Sequence[float], singles: Sequence[float], events: Sequence[float]
) -> None:
    floor_median, single_median = statistics.median(floor), statistics.median(singles)
    share = floor_median / single_median
    rows = [
        [
            "start to complete, sequence of 3",
            f"{floor_median * 1000:.2f} ms",
            f"{single_median * 1000:.2f} ms",
            f"{_p95(singles) * 1000:.2f} ms",
            f"{share:.0%}",
            f"{SHARE:.0%}",
            passed(share >= SHARE),
        ],
        [
            "event raised to complete",
            "",
            f"{statistics.median(events) * 1000:.2f} ms",
            f"{_p95(events) * 1000:.2f} ms",
            "",
            f"< {_EVENT_MS} ms",
            passed(statistics.median(events) * 1000 < _EVENT_MS),
        ],
    ]
    header = ["one at a time", "floor", "engine", "p95", "floor/engine", "target", "ok"]
    print_table("Latency (median)", header, rows)


def _print_growth(engines: Rates) -> None:
    rows = []
    for name, sizes in (("fan-out", FAN_OUTS), ("chain", CHAINS)):
        small, large = sizes[0], sizes[-1]
        growth = statistics.median(engines[small]) / statistics.median(engines[large])
        rows.append(
            [
                f"{name} {small.steps:,} to {large.steps:,}",
                f"{growth:.2f}",
                f"< {MAX_GROWTH}",
                passed(growth < MAX_GROWTH),
            ]
        )
    header = ["workload", "cost per activity, large/small", "target", "ok"]
    print_table("Growth (1 is linear)", header, rows)


def _p95(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def main() -> None:
    """Compare engine and floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="medians are taken over these")
    arguments = parser.parse_args()
    settle_interpreter()  # as `func-py start` does; it is the floor's as well
    asyncio.run(compare(sample_functions(), arguments.rounds))


if __name__ == "__main__":
    main()

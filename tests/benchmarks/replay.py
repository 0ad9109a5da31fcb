"""An instance with a long history that is not in memory gets an event.

`python -m benchmarks.replay` from the folder `tests`.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.engine_host import EngineHost
from benchmarks.machine import describe_machine
from benchmarks.table import passed, print_table
from benchmarks.workloads import sample_functions

STEPS = 2_500
EVENTS_PER_STEP = 4
TARGET_US = 15.0
"""Per event, with reading and decoding."""
_INSTANCES = 3


async def measure() -> None:
    """Let instances work, forget them by a restart of the host, and wake one after another."""
    specs = sample_functions()
    events = STEPS * EVENTS_PER_STEP
    with tempfile.TemporaryDirectory() as folder:
        print(f"Machine: {describe_machine(Path(folder))}")
        async with EngineHost(Path(folder), specs) as host:
            ids = []
            for _ in range(_INSTANCES):
                instance_id = await host.client.start("chain_then_wait", input=str(STEPS))
                await host.status_reached(instance_id, '"waits"')
                ids.append(instance_id)
            short = [await host.start_waiting("wait_for_go") for _ in range(10)]
        async with EngineHost(Path(folder), specs) as host:
            short_s = statistics.median([await _wake(host, each) for each in short])
            long_s = statistics.median([await _wake(host, each) for each in ids])
    per_event = 1e6 * (long_s - short_s) / events
    rows = [
        ["history of 3 events", f"{1000 * short_s:.1f} ms", "", "", ""],
        [
            f"history of {events:,} events",
            f"{1000 * long_s:.1f} ms",
            f"{per_event:.1f} us",
            f"<= {TARGET_US:.0f} us",
            passed(per_event <= TARGET_US),
        ],
    ]
    header = ["not in memory", "event raised to complete", "per event", "target", "ok"]
    print_table("Replay", header, rows)


async def _wake(host: EngineHost, instance_id: str) -> float:
    began = time.perf_counter()
    await host.raise_and_wait(instance_id, "go")
    return time.perf_counter() - began


if __name__ == "__main__":
    asyncio.run(measure())

"""Signals to entities, until each has been applied: `python -m benchmarks.entities`."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from azure.durable_functions import EntityId

from benchmarks.engine_host import EngineHost
from benchmarks.machine import describe_machine
from benchmarks.table import passed, print_table
from benchmarks.workloads import sample_functions

ROUNDS = 3
SIGNALS = 5_000
_AT_ONCE = 500
"""Signals of a client that has not been answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`send` sends SIGNALS signals to so many entities; `target` is a rate, 0 for none."""

    title: str
    send: Callable[[EngineHost, int], Awaitable[None]]
    entities: int
    target: float = 0.0


async def from_client(host: EngineHost, entities: int) -> None:
    """Sent by the SDK's client as a function has it, many before the first is answered."""
    for first in range(0, SIGNALS, _AT_ONCE):
        await asyncio.gather(
            *(
                host.sdk_client.signal_entity(EntityId("counter", str(n % entities)), "add", 1)
                for n in range(first, first + _AT_ONCE)
            )
        )


async def from_client_one_by_one(host: EngineHost, entities: int) -> None:
    """Each is durable before the next is sent."""
    for number in range(SIGNALS):
        await host.sdk_client.signal_entity(EntityId("counter", str(number % entities)), "add", 1)


async def from_orchestrator(host: EngineHost, entities: int) -> None:
    """All in one turn."""
    await host.run("signal_counters", f"[{SIGNALS}, {entities}]")


ROWS = (
    Row(title="one client, to one entity", send=from_client, entities=1, target=5_000),
    Row(title="one client, to 100 entities", send=from_client, entities=100),
    Row(title="one client, one by one, to one entity", send=from_client_one_by_one, entities=1),
    Row(title="one orchestrator, to one entity", send=from_orchestrator, entities=1, target=5_000),
    Row(title="one orchestrator, to 100 entities", send=from_orchestrator, entities=100),
)


async def measure() -> None:
    """Run every row several times, and print the medians."""
    rates: dict[str, list[float]] = {row.title: [] for row in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        print(f"Machine: {describe_machine(Path(folder))}")
        async with EngineHost(Path(folder), sample_functions()) as host:
            sent = dict.fromkeys((str(n) for n in range(100)), 0)
            for _ in range(ROUNDS):
                for row in ROWS:
                    for n in range(row.entities):
                        sent[str(n)] += SIGNALS // row.entities
                    began = time.perf_counter()
                    await row.send(host, row.entities)
                    for n in range(row.entities):
                        await host.entity_reached("counter", str(n), str(sent[str(n)]))
                    rates[row.title].append(SIGNALS / (time.perf_counter() - began))
    table = []
    for row in ROWS:
        rate = statistics.median(rates[row.title])
        target = [f"{row.target:,.0f}", passed(rate >= row.target)] if row.target else ["", ""]
        table.append([row.title, f"{rate:,.0f}", *target])
    header = [f"{SIGNALS:,} signals", "signals/s", "target", "ok"]
    print_table("Entities", header, table)


if __name__ == "__main__":
    asyncio.run(measure())

"""Three hosts on one PostgreSQL hub, of which one is killed and one frozen amid the work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.shared_hub import (
    SharedHub,
    postgres_settings,
    shared_hub,
    sqlite_settings,
    until,
)
from benchmarks.spawned import Spawned, func_py_start
from benchmarks.table import passed, print_table
from func_py.durable.model import RuntimeStatus

JOURNEYS = 1000
ACTIVITIES = 5
COUNTERS = 20
LEASE_S = 2

_HUB = "Deaths"


@dataclass(frozen=True, slots=True)
class Member:
    """A host of the hub: its processes, and the id under which the others know it."""

    host: Spawned
    host_id: str

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        os.killpg(self.host.pid, number)


class Partitions:
    """Who holds the partitions, read behind the hosts' backs."""

    def __init__(self, uri: str, hub: str) -> None:
        self._hub = hub
        self._connection = psycopg.connect(uri, autocommit=True)

    def holders(self) -> list[str | None]:
        """Host ids, one for each partition; None for a free one."""
        query = "select holder from func_py.partitions p join func_py.hubs h on h.number = p.hub"
        found = self._connection.execute(f"{query} where h.name = %s", [self._hub])
        return [holder for (holder,) in found]

    async def shared(self, hosts: set[str]) -> None:
        """Wait until these hosts and nobody else hold partitions."""

        async def are_shared() -> bool:
            return {*self.holders()} == hosts

        await until(are_shared)

    async def taken_over(self, dead: Member, since: float) -> float:
        """Wait until others hold all that a host held; the seconds since that time."""

        async def are_held() -> bool:
            return not {dead.host_id, None} & {*self.holders()}

        await until(are_held)
        return time.monotonic() - since

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


async def _join(
    stack: AsyncExitStack, hub: SharedHub, folder: Path, settings: Mapping[str, str]
) -> Member:
    known = await hub.workers()
    own = {**sqlite_settings(folder / "state"), **settings}
    host = stack.enter_context(func_py_start(folder, own))
    return Member(host, await hub.joined(known))


async def print_deaths(folder: Path, uri: str) -> None:
    """Run it, and print what became of the work."""
    settings = postgres_settings(uri, _HUB, f"00:00:{LEASE_S:02d}")
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(shared_hub(settings, folder / "client"))
        members = [await _join(stack, hub, folder / f"host{n}", settings) for n in range(3)]
        partitions = Partitions(uri, _HUB)
        stack.callback(partitions.close)
        killed, frozen, survivor = members
        await partitions.shared({member.host_id for member in members})
        began = time.monotonic()
        await hub.start("journey", [str(number) for number in range(JOURNEYS)], "journey-")
        await hub.finished("journey-", most_left=3 * JOURNEYS // 4)
        left = await hub.unfinished("journey-")
        struck = time.monotonic()
        killed.send(signal.SIGKILL)
        frozen.send(signal.SIGSTOP)
        try:
            took = [await partitions.taken_over(dead, struck) for dead in (killed, frozen)]
        finally:
            frozen.send(signal.SIGCONT)
        await hub.finished("journey-")
        ended = time.monotonic() - began
        await hub.reached(COUNTERS, JOURNEYS)
        await partitions.shared({frozen.host_id, survivor.host_id})
        await _print(hub, left, took, ended)


async def _print(hub: SharedHub, left: int, took: list[float], ended: float) -> None:
    states = await hub.results("journey-")
    completed = sum(state.status is RuntimeStatus.COMPLETED for state in states)
    right = sum(
        state.output == str(int(state.instance_id.removeprefix("journey-")) + ACTIVITIES)
        for state in states
    )
    limit = 2 * LEASE_S
    counted = await hub.counted(COUNTERS)
    rows = [
        ["completed", f"{completed:,}", f"{JOURNEYS:,}", passed(completed == JOURNEYS)],
        ["with the right output", f"{right:,}", f"{JOURNEYS:,}", passed(right == JOURNEYS)],
        ["counted by entities", f"{counted:,}", f"{JOURNEYS:,}", passed(counted == JOURNEYS)],
        ["from kill -9 to take-over", f"{took[0]:.1f} s", f"< {limit} s", passed(took[0] < limit)],
        ["from SIGSTOP to take-over", f"{took[1]:.1f} s", f"< {limit} s", passed(took[1] < limit)],
        ["left when that happened", f"{left:,}", "", ""],
        ["from the first start to the last end", f"{ended:.1f} s", "", ""],
        ["the frozen host, continued, has its share again", "yes", "", ""],
    ]
    title = (
        f"Three hosts on PostgreSQL, {JOURNEYS:,} orchestrations of {ACTIVITIES} activities and a "
        f"signal; one is killed, one frozen. Lease time {LEASE_S} s"
    )
    print_table(title, ["", "measured", "target", "ok"], rows)

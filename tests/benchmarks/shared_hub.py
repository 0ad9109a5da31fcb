"""A task hub that hosts of other processes work on, seen by a client that runs nothing itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.workloads import SAMPLE_APP
from func_py.clock import RealClock
from func_py.config.host_json import load_host_config
from func_py.durable.client import DurableClient
from func_py.durable.model import InstanceState, RuntimeStatus, new_id
from func_py.durable.storage.base import HostRecord, InstanceQuery, TaskHub
from func_py.hub_client import configured_client, configured_hub

_PROVIDER = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__"
_LIVE = frozenset(status for status in RuntimeStatus if not status.is_terminal)
_POLL_S = 0.01
_DEADLINE_S = 90.0
_PAGE = 1000


def postgres_settings(uri: str, hub: str, lease: str = "00:00:15") -> Mapping[str, str]:
    """App settings that lead the sample app to a hub on a PostgreSQL server."""
    return {
        "AzureFunctionsJobHost__extensions__durableTask__hubName": hub,
        f"{_PROVIDER}type": "postgres",
        f"{_PROVIDER}connectionStringName": "BENCHMARK_DATABASE",
        f"{_PROVIDER}leaseTime": lease,
        "BENCHMARK_DATABASE": uri,
    }


def sqlite_settings(folder: Path) -> Mapping[str, str]:
    """App settings that lead the sample app to a hub in this folder."""
    return {"FUNC_PY_STATE_DIR": str(folder)}


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Poll until it is true; raises TimeoutError after a minute and a half."""
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            if await check():
                return
            await asyncio.sleep(_POLL_S)


class SharedHub:
    """An open hub."""

    def __init__(self, hub: TaskHub, client: DurableClient) -> None:
        self._hub = hub
        self.client = client

    async def workers(self) -> set[str]:
        """Ids of the live hosts that have functions."""
        return {host.host_id for host in await self._hub.hosts() if host.functions}

    async def joined(self, known: Collection[str]) -> str:
        """Wait until there is one more than those; its id."""

        async def is_there() -> bool:
            return bool(await self.workers() - {*known})

        await until(is_there)
        [host_id] = await self.workers() - {*known}
        return host_id

    async def start(self, orchestrator: str, inputs: Sequence[str | None], prefix: str) -> None:
        """Start an instance for each input: `<prefix>0`, `<prefix>1`, …"""
        await asyncio.gather(
            *(
                self.client.start(orchestrator, instance_id=f"{prefix}{number}", input=input)
                for number, input in enumerate(inputs)
            )
        )

    async def unfinished(self, prefix: str) -> int:
        """How many instances of a prefix have not ended; 1,000 at most."""
        query = InstanceQuery(prefix=prefix, statuses=_LIVE, page_size=_PAGE)
        return len((await self.client.query(query)).items)

    async def finished(self, prefix: str, most_left: int = 0) -> None:
        """Wait until no more instances than that are left."""
        query = InstanceQuery(prefix=prefix, statuses=_LIVE, page_size=most_left + 1)

        async def are_few() -> bool:
            return len((await self.client.query(query)).items) <= most_left

        await until(are_few)

    async def results(self, prefix: str) -> list[InstanceState]:
        """All instances of a prefix; 1,000 at most."""
        page = await self.client.query(InstanceQuery(prefix=prefix, page_size=_PAGE))
        return list(page.items)

    async def counted(self, counters: int) -> int:
        """The sum of the first so many entities `counter`."""
        entities = [await self.client.read_entity("counter", str(n)) for n in range(counters)]
        return sum(int(entity.state or 0) for entity in entities if entity is not None)

    async def reached(self, counters: int, total: int) -> None:
        """Wait until the sum of the counters is that, or more."""

        async def are_counted() -> bool:
            return await self.counted(counters) >= total

        await until(are_counted)

    async def run(self, orchestrator: str, inputs: Sequence[str | None]) -> float:
        """Start an instance for each input; the seconds until the last one has ended.

        Raises:
            RuntimeError: One of them did not complete.
        """
        prefix = f"{new_id()}-"
        began = time.perf_counter()
        await self.start(orchestrator, inputs, prefix)
        await self.finished(prefix)
        took = time.perf_counter() - began
        for state in await self.results(prefix):
            if state.status is not RuntimeStatus.COMPLETED:
                raise RuntimeError(f"{state.name} {state.instance_id} {state.status}")
        return took


@asynccontextmanager
async def shared_hub(settings: Mapping[str, str], folder: Path) -> AsyncIterator[SharedHub]:
    """The hub that the settings lead the sample app to, open while entered; made when needed."""
    config = load_host_config(SAMPLE_APP, {**sqlite_settings(folder), **settings})
    hub = configured_hub(config)
    await hub.create_hub()
    clock = RealClock()
    await hub.open(HostRecord(host_id=new_id(), started_at=clock.now()))
    try:
        client = configured_client(
            config, hub, clock, missing=lambda _: None, missing_entity=lambda _: None
        )
        yield SharedHub(hub, client)
    finally:
        await hub.close()

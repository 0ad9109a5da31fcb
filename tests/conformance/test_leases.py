"""A host without a sign of life is dead after the time that it said itself, on every server."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from conformance.harness import PARTITIONS, Harness, World
from support.azure_harness import OPTIONS, AzureHarness
from support.engine import until
from support.mssql_harness import MssqlHarness
from support.postgres_harness import PostgresHarness
from support.postgres_server import PostgresServer

from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.lease_time import lease_time
from func_py.durable.storage.registry import HubSettings, find_provider
from func_py.durable.storage.sql.hub import SqlTaskHub
from func_py.errors import ConfigError

_numbers = itertools.count(1)


class Worlds(NamedTuple):
    """One hub, seen by hosts with a short lease and by hosts with a long one."""

    hasty: World
    patient: World


def harness_maker(request: pytest.FixtureRequest, place: str) -> Callable[[timedelta], Harness]:
    """Makes harnesses of the provider that the fixture is for, all of one place."""
    if request.param == "azure":
        account: str = request.getfixturevalue("azurite")
        place = f"L{next(_numbers)}x"
        return lambda lease: AzureHarness(account, place, replace(OPTIONS, lease=lease))
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return lambda lease: PostgresHarness(server.uri, place, lease=lease)
    uri: str = request.getfixturevalue("translating_server")
    return lambda lease: MssqlHarness(place, postgres=uri, lease=lease)


@pytest.fixture(params=["postgres", "mssql-translated", "azure"])
async def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Worlds]:
    """Each provider whose leases run out in turn, with an empty hub."""
    make = harness_maker(request, f"{tmp_path.name}.")
    hasty, patient = make(timedelta(milliseconds=400)), make(timedelta(hours=1))
    worlds = Worlds(World(hasty), World(patient))
    yield worlds
    for world in worlds:
        await world.close()
    if isinstance(hasty, AzureHarness):
        await hasty.remove()


async def test_who_is_dead_is_a_matter_of_its_own_lease_time(worlds: Worlds) -> None:
    """Clause 21. Hosts with other settings, of another version perhaps, judge each other alike."""
    short, long = await worlds.hasty.host(owns=[0, 1]), await worlds.patient.host(owns=[2, 3])
    heirs = await worlds.hasty.host(), await worlds.patient.host()
    for silent in (short, long):
        assert isinstance(silent.hub, SqlTaskHub | AzureTaskHub)
        await silent.hub.die()
    leases = await until(lambda: heirs[1].hub.acquire(range(PARTITIONS)), "the lease to end")
    assert {lease.partition for lease in leases} <= {0, 1}
    assert {lease.partition for lease in await heirs[0].hub.acquire(range(PARTITIONS))} <= {0, 1}
    for heir in heirs:
        assert long.host_id in {host.host_id for host in await heir.hub.hosts()}


@pytest.mark.parametrize(
    ("provider", "app_settings"),
    [
        ("postgres", {"PLACE": "postgresql://db/name"}),
        ("mssql", {"PLACE": "Server=db"}),
        ("AzureStorage", {"PLACE": "UseDevelopmentStorage=true"}),
    ],
)
@pytest.mark.parametrize("text", ["soon", "00:00:00.9000000", "01:00:01", "-00:01:00"])
def test_a_lease_time_of_no_use_is_refused(
    provider: str, app_settings: dict[str, str], text: str
) -> None:
    options = {"connectionStringName": "PLACE", "connectionName": "PLACE", "leaseTime": text}
    settings = HubSettings(hub="Hub", state_dir=Path(), options=options, app_settings=app_settings)
    with pytest.raises(ConfigError) as caught:
        find_provider(provider).create_task_hub(settings)
    assert caught.value.path == "extensions.durableTask.storageProvider.leaseTime"
    assert text in caught.value.problem


def test_a_lease_time_that_is_not_given_is_the_provider_s() -> None:
    settings = HubSettings(hub="Hub", state_dir=Path())
    assert lease_time(settings, timedelta(seconds=7)) == timedelta(seconds=7)

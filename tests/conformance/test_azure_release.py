"""What only Azure Storage has to take care of when a partition goes to another host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance.harness import World, ids_in_different_partitions
from support.azure_harness import AzureHarness
from support.durable_values import raised, scheduled

from func_py.durable.storage.azure import committing


@pytest.fixture
async def world(azurite: str, tmp_path: Path) -> AsyncIterator[World]:
    world = World(AzureHarness(azurite, f"r{''.join(filter(str.isalnum, tmp_path.name))[-30:]}"))
    yield world
    await world.close()


async def test_what_is_on_its_way_to_a_partition_that_is_given_up_is_seen_by_the_next_owner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was put into the queue hidden, because the partition was ours then."""
    owner, heir = await world.owner(), await world.host()
    sender, target = ids_in_different_partitions(2)
    instance = await owner.running(sender)
    new = await owner.create(target)
    released: list[asyncio.Future[None]] = []

    def reach(point: str) -> None:
        if point == "azure.sent":
            work = owner.hub.release([owner.lease_of(target)])
            released.append(asyncio.ensure_future(work))

    monkeypatch.setattr(committing, "reach", reach)
    message = raised(target)
    await owner.commit(owner.turn(instance, events=scheduled(1, first=2), messages=[message]))
    await released[0]

    recovered = await heir.take(target)
    assert [mail.message for mail in recovered.mail] == [new.start, message]

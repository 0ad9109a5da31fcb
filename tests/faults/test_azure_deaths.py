"""Deaths between the writes of Azure Storage, which has no transaction over queues and tables."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient
from support.azure_victim import INSTANCE, PARTITIONS, host_on
from support.engine import until

from func_py.durable.model import OrchestratorStarted, RuntimeStatus, TaskScheduled
from func_py.durable.storage.azure.names import HubNames
from func_py.durable.storage.histories import whole_history

pytestmark = pytest.mark.faults

_TESTS = Path(__file__).parents[1]
_numbers = itertools.count(1)

CHAIN = [0, 1, 4]

_AT_ONCE = 4
"""With leases of a second, many processes that begin would take the time of each other."""


async def die(azurite: str, hub: str, name: str, count: int, point: str) -> None:
    """Let a host run an orchestration until it reaches a crash point, and its time run out."""
    victim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.azure_victim", hub, name, str(count), point),
        env={**os.environ, "PYTHONPATH": str(_TESTS), "HUB_ACCOUNT": azurite},
    )
    assert await victim.wait() == -signal.SIGKILL, f"{point} was not reached"
    names = HubNames(hub)
    async with TableServiceClient.from_connection_string(azurite) as tables:
        partitions = tables.get_table_client(names.partitions)

        async def are_free() -> bool:
            now = datetime.now(UTC)  # and on a busy machine it has not taken every partition
            return all(
                [row.get("ExpiresAt", now) <= now async for row in partitions.list_entities()]
            )

        await until(are_free, "the leases of the dead host to run out")
    async with QueueServiceClient.from_connection_string(azurite) as queues:
        for queue in (names.work_items, *(names.control(n) for n in range(PARTITIONS))):
            client = queues.get_queue_client(queue)

            async def is_seen() -> bool:
                count = (await client.get_queue_properties()).approximate_message_count  # noqa: B023 - awaited in the same round
                seen = await client.peek_messages(32)  # noqa: B023 - awaited in the same round
                return len(seen) >= min(int(count), 32)

            await until(is_seen, "what the dead host had hidden to be seen")


async def die_and_go_on(
    azurite: str, name: str, count: int, points: list[str], output: object
) -> None:
    """At each point a host dies, in a hub of its own; the next one comes to the same end."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def at(point: str) -> None:
        hub = f"Death{next(_numbers)}"
        async with few:
            await die(azurite, hub, name, count, point)
            async with host_on(azurite, hub) as heir:
                state = await heir.wait_for(INSTANCE)
                history = await whole_history(heir.hub, INSTANCE)
        assert (state.status, json.loads(state.output or "")) == (
            RuntimeStatus.COMPLETED,
            output,
        ), point
        asked = [event.task_id for event in history if isinstance(event, TaskScheduled)]
        assert len(set(asked)) == len(asked), point
        assert sum(isinstance(event, OrchestratorStarted) for event in history) > 0, point

    await asyncio.gather(*(at(point) for point in points))


async def test_a_death_between_the_writes_of_a_chain_does_no_harm(azurite: str) -> None:
    points = [
        "azure.row_without_start:1",
        "client.after_create:1",
        *(f"azure.sent:{n}" for n in (1, 3, 4)),
        *(f"azure.history_written:{n}" for n in (1, 2, 4)),
        *(f"azure.row_written:{n}" for n in (1, 4)),
        "activity.after_run:2",
    ]
    await die_and_go_on(azurite, "chain", 3, points, CHAIN)


async def test_a_death_between_two_batches_of_one_turn_does_no_harm(azurite: str) -> None:
    squares = [n * n for n in range(120)]
    await die_and_go_on(azurite, "fan_out", 120, ["azure.between_batches:1"], squares)


async def test_a_death_between_the_writes_of_children_and_entities_does_no_harm(
    azurite: str,
) -> None:
    """The entity counts each call once."""
    points = [
        *(f"azure.sent:{n}" for n in (2, 3, 7)),
        *(f"azure.history_written:{n}" for n in (3, 6, 8)),
        *(f"azure.row_written:{n}" for n in (2, 6, 9)),
    ]
    await die_and_go_on(azurite, "family", 2, points, [0, 1, 2])


async def test_a_death_between_the_writes_of_generations_does_no_harm(azurite: str) -> None:
    points = [f"azure.history_written:{n}" for n in (2, 3)]
    await die_and_go_on(azurite, "again", 2, points, "done")


async def test_a_death_while_a_long_history_is_replaced_does_no_harm(azurite: str) -> None:
    """What the code has not consumed goes along to the next generation."""
    await die_and_go_on(azurite, "carries", 150, ["azure.between_batches:1"], 150)


async def test_a_start_whose_message_was_not_sent_can_be_ended_and_repeated(azurite: str) -> None:
    """Its caller was told nothing; the next owner has not sent it again yet."""
    await die(azurite, "Unsent", "chain", 3, "azure.row_without_start:1")
    async with host_on(azurite, "Unsent") as heir:
        state = await heir.hub.get_instance(INSTANCE)
        assert state is not None
        assert state.status is RuntimeStatus.PENDING
        await heir.client.terminate(INSTANCE, "again")
        assert (await heir.wait_for(INSTANCE)).status is RuntimeStatus.TERMINATED
        await heir.client.start("chain", instance_id=INSTANCE, input="3")
        ended = await heir.wait_for(INSTANCE, RuntimeStatus.COMPLETED)
        assert json.loads(ended.output or "") == CHAIN

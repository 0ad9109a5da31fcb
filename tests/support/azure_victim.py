"""A host on Azure Storage that kills itself: `python -m support.azure_victim HUB NAME COUNT POINT`.

The environment variable HUB_ACCOUNT has the connection string. It starts an orchestration of
`APP` under the id `i`, with COUNT as its input, and dies at the crash point.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
from support.engine import Host

from func_py.durable import faults
from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.azure.opened import AzureOptions

OPTIONS = AzureOptions(
    lease=timedelta(seconds=1),
    hidden=timedelta(seconds=1),
    longest_poll=timedelta(milliseconds=100),
)
INSTANCE = "i"
PARTITIONS = 2

Orchestration = Generator[Any, Any, Any]


def chain(context: Any) -> Orchestration:
    """As many activities as asked for, one after the other."""
    results = []
    for number in range(context.get_input()):
        square = yield context.call_activity("square", number)
        results.append(square)
    return results


def fan_out(context: Any) -> Orchestration:
    """As many activities as asked for, at once."""
    tasks = [context.call_activity("square", number) for number in range(context.get_input())]
    return (yield context.task_all(tasks))


def family(context: Any) -> Orchestration:
    """A child after a timer, and an entity that both have counted with."""
    count = context.get_input()
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    results = yield context.call_sub_orchestrator("chain", count, f"{context.instance_id}-child")
    entity = df.EntityId("counter", "e")
    total = 0
    for _ in range(count):
        total = yield context.call_entity(entity, "add", 1)
    return [*results, total]


def again(context: Any) -> Orchestration:
    """As many generations as asked for, with an activity each."""
    left = context.get_input()
    yield context.call_activity("square", left)
    if left > 0:
        context.continue_as_new(left - 1)
        return None
    return "done"


def carries(context: Any) -> Orchestration:
    """Tells itself as many events as asked for, and counts them in the next generation."""
    count = context.get_input()
    if count > 0:
        yield context.call_activity("tell", [context.instance_id, count])
        yield context.wait_for_external_event("last")
        context.continue_as_new(-count)
        return None
    for _ in range(-count):
        yield context.wait_for_external_event("told")
    return -count


def counter(context: Any) -> None:
    """Counts what it is told."""
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())


APP: dict[str, Callable[..., Any]] = {
    "chain": chain,
    "fan_out": fan_out,
    "family": family,
    "again": again,
    "carries": carries,
}


def host_on(connection_string: str, hub: str) -> Host:
    """A host of the app."""

    async def tell(what: list[Any]) -> None:
        instance_id, count = what
        for number in range(count):
            await host.client.raise_event(instance_id, "told", str(number))
        await host.client.raise_event(instance_id, "last", "0")

    account = Account(connection_string=connection_string)
    host = Host(
        AzureTaskHub(account, hub, PARTITIONS, OPTIONS),
        APP,
        {"square": lambda n: n * n, "tell": tell},
        entities={"counter": counter},
    )
    return host


async def _live_and_die(hub: str, name: str, count: str, point: str) -> None:
    async with host_on(os.environ["HUB_ACCOUNT"], hub) as host:
        faults.arm(point)
        await host.client.start(name, instance_id=INSTANCE, input=count)
        await host.wait_for(INSTANCE)


if __name__ == "__main__":
    asyncio.run(_live_and_die(*sys.argv[1:]))

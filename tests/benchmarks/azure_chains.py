"""Chains of three activities on Azurite: the engine beside the official host's requests alone.

The floor is no engine: it plays, with the SDK's clients as they come, the requests that the
official host makes for such a chain (36, one message per get), and does nothing else. The engine
uses the same SDK. Both run in this process, in turns and each against an Azurite of its own that
has a core at best, so only the ratio says something. Requests of the engine are counted at the
SDK's transport, without looks at empty queues, and without what keeps leases.

`python -m benchmarks.azure_chains` in the folder `tests`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient
from support.azurite import running_azurite
from support.engine import Host

from benchmarks.machine import describe_machine
from benchmarks.table import passed, print_table
from func_py.durable.model import new_id
from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.azure.opened import AzureOptions
from func_py.durable.storage.base import Committed, Lost, Turn

ROUNDS = 4
CHAINS = 60
"""Of one round."""
CONCURRENT = 16
ACTIVITIES = 3
LEAST_RATIO = 1.6
MOST_REQUESTS = 18

_TEXT = "x" * 1000
_EMPTY_ANSWER_BYTES = 200


# ---- the floor -----------------------------------------------------------------------------


class _Floor:
    """The requests of the official host, by hand."""

    def __init__(
        self, control: QueueClient, work: QueueClient, history: TableClient, instances: TableClient
    ) -> None:
        self._control = control
        self._work = work
        self._history = history
        self._instances = instances

    async def chain(self, instance_id: str) -> None:
        """One chain: a start, four turns, three activities."""
        key = {"PartitionKey": instance_id}
        found = self._instances.query_entities(
            "PartitionKey eq @id", parameters={"id": instance_id}
        )
        assert [row async for row in found] == []
        await self._control.send_message(_TEXT, time_to_live=-1)
        await self._instances.create_entity({**_row(instance_id), "RowKey": ""})
        etag = ""
        for turn in range(ACTIVITIES + 1):
            message = await _take(self._control)
            if turn == 0:
                await self._instances.get_entity(instance_id, "")
            rows = self._history.query_entities(
                "PartitionKey eq @id", parameters={"id": instance_id}
            )
            assert len([row async for row in rows]) == (4 * turn + 1 if turn else 0)
            if turn < ACTIVITIES:
                await self._work.send_message(_TEXT, time_to_live=-1)
            etag = await self._append(instance_id, 4 * turn, etag)
            merged = {**key, "RowKey": "", "RuntimeStatus": "Running", "CustomStatus": "null"}
            await self._instances.upsert_entity(merged, UpdateMode.MERGE)
            await self._control.delete_message(message)
            if turn < ACTIVITIES:
                call = await _take(self._work)
                await self._control.send_message(_TEXT, time_to_live=-1)
                await self._work.delete_message(call)

    async def _append(self, instance_id: str, first: int, etag: str) -> str:
        replace = {"mode": UpdateMode.REPLACE}
        operations: list[tuple[Any, ...]] = [
            ("upsert", {**_row(instance_id), "RowKey": f"{number:016X}"}, replace)
            for number in range(first, first + 4)
        ]
        sentinel = {"PartitionKey": instance_id, "RowKey": "sentinel", "ExecutionId": "e"}
        if etag:
            condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
            operations.append(("update", sentinel, {"mode": UpdateMode.MERGE, **condition}))
        else:
            operations.append(("create", sentinel))
        answers = await self._history.submit_transaction(operations)
        return str(answers[-1]["etag"])


def _row(instance_id: str) -> dict[str, Any]:
    return {
        "PartitionKey": instance_id,
        "EventType": "TaskCompleted",
        "EventId": -1,
        "IsPlayed": False,
        "_Timestamp": datetime.now(UTC),
        "ExecutionId": "0123456789abcdef0123456789abcdef",
        "Name": "say_hello",
        "Input": '["Tokyo"]',
        "Result": '"Hello, Tokyo!"',
        "TaskScheduledId": 0,
    }


async def _take(queue: QueueClient) -> Any:
    """One message; in a chain there always is one, of this chain or another."""
    message = await queue.receive_message(visibility_timeout=300)
    assert message is not None
    return message


async def play_floor(connection_string: str) -> float:
    """Chains per second."""
    async with AsyncExitStack() as stack:
        queues = await stack.enter_async_context(
            QueueServiceClient.from_connection_string(connection_string)
        )
        tables = await stack.enter_async_context(
            TableServiceClient.from_connection_string(connection_string)
        )
        control, work = queues.get_queue_client("floor-control"), queues.get_queue_client("floor-w")
        history, instances = tables.get_table_client("FloorH"), tables.get_table_client("FloorI")
        await asyncio.gather(
            *(queue.create_queue() for queue in (control, work)),
            *(table.create_table() for table in (history, instances)),
        )
        floor = _Floor(control, work, history, instances)
        begun_at = time.perf_counter()
        await _at_once(range(CHAINS), lambda number: floor.chain(f"floor-{number}"))
        return CHAINS / (time.perf_counter() - begun_at)


# ---- the engine ----------------------------------------------------------------------------


def greet(context: Any) -> Generator[Any, Any, Any]:
    """The chain."""
    greetings = []
    for city in ("Tokyo", "Seattle", "London"):
        greeting = yield context.call_activity("say_hello", city)
        greetings.append(greeting)
    return greetings


class _Hub(AzureTaskHub):
    """Tells when an instance has ended, so that nobody needs to ask for its status."""

    ends: dict[str, asyncio.Future[None]]

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """See `TaskHub.commit`."""
        answers = await super().commit(turns)
        for turn, answer in zip(turns, answers, strict=True):
            if turn.state.status.is_terminal and isinstance(answer, Committed):
                self.ends[turn.state.instance_id].set_result(None)
        return answers


class _Counted:
    """Counts requests at the transport while entered."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self._send = AioHttpTransport.send

    def __enter__(self) -> _Counted:
        send, count = self._send, self._count

        async def counting(self: AioHttpTransport, request: Any, **kwargs: Any) -> Any:
            response = await send(self, request, **kwargs)
            count(request, response)
            return response

        AioHttpTransport.send = counting
        return self

    def __exit__(self, *_: object) -> None:
        AioHttpTransport.send = self._send

    def _count(self, request: Any, response: Any) -> None:
        url = urlsplit(request.url)
        method = request.headers.get("X-HTTP-Method", request.method)
        is_upkeep = (
            any(part in url.path for part in ("Partitions", "FuncPy")) or "lease" in url.query
        )
        length = int(response.headers.get("Content-Length") or _EMPTY_ANSWER_BYTES)
        if is_upkeep:
            kind = "(upkeep)"
        elif "/messages" not in url.path:
            kind = "transaction" if "$batch" in url.path else f"table {method.lower()}"
        elif method == "GET":
            kind = "queue get" if length > _EMPTY_ANSWER_BYTES else "(empty get)"
        else:
            kind = {"POST": "queue put", "DELETE": "queue delete"}.get(method, "queue hide")
        self.requests[kind] += 1


async def run_engine(connection_string: str) -> tuple[float, Counter[str]]:
    """Chains per second, and the requests made for all of them."""
    hub = _Hub(Account(connection_string=connection_string), "Chains", 4, AzureOptions())
    hub.ends = {}
    async with Host(hub, {"greet": greet}, {"say_hello": lambda city: f"Hello, {city}!"}) as host:

        async def chain(_: int) -> None:
            instance_id = new_id()
            hub.ends[instance_id] = asyncio.get_running_loop().create_future()
            await host.client.start("greet", instance_id=instance_id)
            await hub.ends[instance_id]

        await _at_once(range(CONCURRENT), chain)
        with _Counted() as counted:
            begun_at = time.perf_counter()
            await _at_once(range(CHAINS), chain)
            rate = CHAINS / (time.perf_counter() - begun_at)
            await asyncio.sleep(1)  # what was consumed is deleted behind the answers
        return rate, counted.requests


async def _at_once(numbers: Sequence[int], work: Any) -> None:
    """Do all, so many side by side."""
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


def main() -> int:
    """Run both and print them."""
    with tempfile.TemporaryDirectory() as folder:
        print(describe_machine(Path(folder)))
    floors, engines = [], []
    requests: Counter[str] = Counter()
    for _ in range(ROUNDS):
        with running_azurite() as azurite:
            floors.append(asyncio.run(play_floor(azurite.connection_string)))
        with running_azurite() as azurite:
            rate, counted = asyncio.run(run_engine(azurite.connection_string))
        engines.append(rate)
        requests += counted
    # What else the machine does makes a round slower, never faster.
    floor, engine = max(floors), max(engines)
    ratio = engine / floor
    print_table(
        f"Chains of {ACTIVITIES} activities on Azurite, {CONCURRENT} at once, best of {ROUNDS}",
        ("", "chains/s", "ratio", "target", "met"),
        [
            ("official host's requests, no engine", f"{floor:.1f}", "1.00", "", ""),
            (
                "the engine",
                f"{engine:.1f}",
                f"{ratio:.2f}",
                f">= {LEAST_RATIO}",
                passed(ratio >= LEAST_RATIO),
            ),
        ],
    )
    chains = ROUNDS * CHAINS
    total = sum(n for kind, n in requests.items() if not kind.startswith("(")) / chains
    print_table(
        "Requests per chain",
        ("", "number", "target", "met"),
        [
            *(
                (kind, f"{number / chains:.2f}", "", "")
                for kind, number in sorted(requests.items())
            ),
            (
                "all but those in ()",
                f"{total:.2f}",
                f"<= {MOST_REQUESTS}",
                passed(total <= MOST_REQUESTS),
            ),
        ],
    )
    return 0 if ratio >= LEAST_RATIO and total <= MOST_REQUESTS else 1


if __name__ == "__main__":
    sys.exit(main())

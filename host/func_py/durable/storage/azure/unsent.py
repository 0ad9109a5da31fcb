"""Starts of instances that have their row, and whose message was never sent.

Who creates an instance writes the row first, and may die before the message. The owner of the
partition sends it then. Should the message be there all the same, both have one id, and the second
is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from func_py.durable.model import ExecutionStarted, InstanceState, Message, partition_of
from func_py.durable.storage.azure.account import answers
from func_py.durable.storage.azure.instances import Row, start_id_of
from func_py.durable.storage.azure.members import LONG_TIMERS
from func_py.durable.storage.azure.names import unescape_key
from func_py.durable.storage.azure.parts import Parts
from func_py.errors import StorageError

log = logging.getLogger("func_py.durable.storage")

_SELDOM_S = 300
_SHARE = 100
"""Of its time a host looks for so much: one part in a hundred."""


class UnsentStarts:
    """Sends the starts again that nobody else will send.

    Looking for them is a walk through the whole table of instances. It is done a while after
    partitions were taken over, and seldom otherwise.

    Args:
        parts: Of the hub.
        wake: Told of the partition whose queue has something new.
    """

    def __init__(self, parts: Parts, wake: Callable[[int], None]) -> None:
        self._parts = parts
        self._wake = wake
        self._acquired = asyncio.Event()
        # As long as it takes until what a dead host had hidden is seen, and is held here.
        self._patience = timedelta(seconds=2 * parts.hidden_s)

    def look_soon(self) -> None:
        """A partition was taken over, perhaps from a host that died."""
        self._acquired.set()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        rest_s = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SELDOM_S):
                    await self._acquired.wait()
            self._acquired.clear()
            await asyncio.sleep(max(rest_s, self._patience.total_seconds()))
            began = time.monotonic()
            try:
                with answers():
                    await self._send_all()
            except StorageError as error:
                log.debug("Starts that were not sent could not be looked for: %s", error)
            rest_s = _SHARE * (time.monotonic() - began)

    async def _send_all(self) -> None:
        instances = self._parts.instances
        for row in await instances.pending_since(datetime.now(UTC) - self._patience):
            instance_id = unescape_key(row["PartitionKey"])
            if not self._is_missing(instance_id, row):
                continue
            now = await instances.read(instance_id)
            if now is not None and _is_as_before(now, row):
                await self._send(await instances.state(now), start_id_of(now))

    def _is_missing(self, instance_id: str, row: Row) -> bool:
        """Is it ours to send? Starts of others come without; a parent sends its children's."""
        control = self._parts.control_of(instance_id)
        start_id = start_id_of(row)
        return control is not None and bool(start_id) and start_id not in control

    async def _send(self, state: InstanceState, start_id: str) -> None:
        if state.parent is not None:
            return
        parts = self._parts
        log.warning("Instance '%s' was created and not started; it starts now.", state.instance_id)
        start = Message(
            id=start_id,
            instance_id=state.instance_id,
            execution_id=state.execution_id,
            event=ExecutionStarted(
                timestamp=state.created_at,
                message_id=start_id,
                name=state.name,
                execution_id=state.execution_id,
                input=state.input,
                version=state.version,
                tags=state.tags,
                trace=state.trace,
                long_timers=LONG_TIMERS,
            ),
        )
        await parts.post(start, await parts.encode(start, parts.numbers.next()))
        self._wake(partition_of(state.instance_id, parts.partition_count))


def _is_as_before(now: Row, row: Row) -> bool:
    return now.get("RuntimeStatus") == "Pending" and start_id_of(now) == start_id_of(row)

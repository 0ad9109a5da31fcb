"""Wires blob functions: what finds their blobs, what calls them, and how an admin does.

As in the official host, what is found goes through a queue, `azure-webjobs-blobtrigger-<host>`, in
the host's own storage: so hosts share the work, failures are tried again, and nothing is lost.
Blobs are found by looking, or Event Grid tells of them. In development those are looked for as
well, because the emulator sends no events.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from func_py.clock import Clock
from func_py.config.settings import BlobSettings
from func_py.errors import ConnectionSettingError
from func_py.invocation import Failure, Invoker, PreparedFunction, RetryingInvoker
from func_py.invocation.results import no_result
from func_py.runtime.blob_events import BlobEvents
from func_py.storage.blobs import Blobs
from func_py.storage.connections import StorageConnections
from func_py.storage.queues import Queue, Queues
from func_py.storage.receipts import Receipts
from func_py.storage.scan_info import ScanInfo
from func_py.triggers.blobs import BlobScanner, WatchedFunction
from func_py.triggers.queues import QueueListener, QueueOptions
from func_py.web.admin_calls import Call, CallMaker
from func_py.web.front_end import REASON
from func_py_bindings.blob import (
    TRIGGER,
    BlobContent,
    BlobPattern,
    blob_argument,
    blob_data,
    split_path,
)
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.deferred import deferred_blob
from func_py_bindings.queue import QueueDelivery

logger = logging.getLogger(__name__)

_QUEUE = "azure-webjobs-blobtrigger-{}"
_POISON = "webjobs-blobtrigger-poison"
_DEVELOPMENT_INTERVAL = timedelta(seconds=2)
_INTERVAL = timedelta(seconds=10)
_LARGEST_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class _BlobFunction:
    watched: WatchedFunction
    connection: str
    is_deferred: bool
    is_told_by_events: bool
    call: PreparedFunction[BlobContent, None]


class BlobTriggers:
    """The blob functions of a host.

    Args:
        connections: Where clients come from.
        blobs: Reads the blobs.
        queues: Where the messages between finding and calling go.
        settings: host.json's `extensions.blobs`.
        host_id: The same for all hosts of an app.
        development: Look more often.
        clock: The time.
    """

    def __init__(
        self,
        connections: StorageConnections,
        blobs: Blobs,
        queues: Queues,
        settings: BlobSettings,
        *,
        host_id: str,
        development: bool,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._blobs = blobs
        self._queues = queues
        self._settings = settings
        self._host_id = host_id
        self._development = development
        self._interval = _DEVELOPMENT_INTERVAL if development else _INTERVAL
        self._clock = clock

    def listeners(
        self,
        functions: Iterable[FunctionSpec],
        invoker: Invoker,
        retrying: RetryingInvoker,
        waiting: dict[str, list[str]],
    ) -> list[BlobScanner | QueueListener]:
        """What triggers these functions; nothing when there are none.

        `waiting` gets the names of those whose connection cannot be used, by the problem.
        """
        by_place: dict[tuple[str, str], list[_BlobFunction]] = {}
        by_id: dict[str, _BlobFunction] = {}
        for spec in functions:
            try:
                self._connections.blobs("")
                self._connections.queues("")
                function = self._prepared(spec, invoker)
                self._connections.blobs(function.connection)
            except ConnectionSettingError as exc:
                waiting.setdefault(str(exc), []).append(spec.name)
                continue
            by_id[function.watched.id] = function
            if self._development or not function.is_told_by_events:
                place = (function.connection.lower(), function.watched.pattern.container)
                by_place.setdefault(place, []).append(function)
        if not by_id:
            return []
        return [
            self._consumer(by_id, retrying),
            *(self._scanner(container, found) for (_, container), found in by_place.items()),
        ]

    def events(self, functions: Iterable[FunctionSpec]) -> BlobEvents | None:
        """What Event Grid tells of blobs; None when no function wants to know it from there."""
        told = [_watched(spec) for spec in functions if _is_told_by_events(spec)]
        if not told:
            return None
        try:
            return BlobEvents(told, Receipts(self._connections, self._host_id), self._tell)
        except ConnectionSettingError:
            return None  # Their listeners say it.

    def calls(self, invoker: Invoker) -> CallMaker:
        """Calls of blob functions by an admin: the input is the path of a blob that exists."""

        def make(spec: FunctionSpec) -> Call:
            function = self._prepared(spec, invoker)

            async def call(text: str | None) -> object:
                container, name = split_path(text or "")
                blob = await self._blobs.read(function.connection, container, name)
                if blob is None:
                    logger.error("'%s' was called with '%s', which is no blob.", spec.name, text)
                    return None
                return await invoker.call(function.call, blob, reason=REASON)

            return call

        return make

    def _prepared(self, spec: FunctionSpec, invoker: Invoker) -> _BlobFunction:
        watched = _watched(spec)
        pattern = watched.pattern
        argument = blob_argument(spec, spec.trigger)
        client_of = deferred_blob(spec, spec.trigger, TRIGGER)

        def decode(blob: BlobContent) -> object:
            return argument(blob) if client_of is None else client_of(blob.container, blob.name)

        return _BlobFunction(
            watched,
            str(spec.trigger.get("connection") or ""),
            client_of is not None,
            _is_told_by_events(spec),
            invoker.prepare(spec, decode, no_result(spec), lambda blob: blob_data(blob, pattern)),
        )

    def _scanner(self, container: str, functions: list[_BlobFunction]) -> BlobScanner:
        connected = self._connections.blobs(functions[0].connection)
        client = connected.client.get_container_client(container)
        return BlobScanner(
            client,
            connected.answers,
            [function.watched for function in functions],
            Receipts(self._connections, self._host_id),
            ScanInfo(self._connections, self._host_id, client),
            self._tell,
            self._interval,
            self._clock,
        )

    async def _tell(self, function: WatchedFunction, name: str, etag: str) -> None:
        message = {
            "Type": "BlobTrigger",
            "FunctionId": function.id,
            "BlobType": "BlockBlob",
            "ContainerName": function.pattern.container,
            "BlobName": name,
            "ETag": f'"{etag}"',
        }
        queue = self._queues.queue("", _QUEUE.format(self._host_id), is_base64=True)
        await queue.send(json.dumps(message).encode("utf-8"))

    def _consumer(
        self, functions: dict[str, _BlobFunction], retrying: RetryingInvoker
    ) -> QueueListener:
        async def handle(delivery: QueueDelivery) -> bool:
            message = json.loads(delivery.body)
            function = functions.get(message["FunctionId"])
            if function is None:
                logger.warning("There is no function '%s' for a blob.", message["FunctionId"])
                return False
            container, name = message["ContainerName"], message["BlobName"]
            blob = await self._blobs.read(
                function.connection,
                container,
                name,
                etag=message["ETag"],
                with_data=not function.is_deferred,
            )
            if blob is None:
                return True  # Deleted, or written anew: then that is told of as well.
            source = "EventGrid" if function.is_told_by_events else "LogsAndContainerScan"
            reason = f"New blob detected({source}): {blob.path}"
            outcome = await retrying.call(function.call, blob, reason=reason)
            return not isinstance(outcome, Failure)

        own_poison = self._queues.queue("", _POISON, is_base64=True)
        poison = {name: self._poison(f.connection) or own_poison for name, f in functions.items()}

        def poison_of(delivery: QueueDelivery | None) -> Queue:
            message = json.loads(delivery.body) if delivery is not None else {}
            return poison.get(str(message.get("FunctionId")), own_poison)

        at_once = self._settings.max_degree_of_parallelism or 8 * (os.cpu_count() or 1)
        batch = min(at_once, _LARGEST_BATCH)
        options = QueueOptions(
            batch_size=batch,
            new_batch_threshold=max(at_once - batch, 0),
            max_dequeue_count=self._settings.poison_blob_threshold,
            retry_after=timedelta(),
            longest_pause=self._interval,
        )
        return QueueListener(
            "The trigger of blobs",
            self._queues.queue("", _QUEUE.format(self._host_id), is_base64=True),
            poison_of,
            handle,
            options,
            self._clock,
        )

    def _poison(self, connection: str) -> Queue | None:
        """In the account of the blobs, if the connection has queues as well."""
        try:
            return self._queues.queue(connection, _POISON, is_base64=True)
        except ConnectionSettingError:
            return None


def _watched(spec: FunctionSpec) -> WatchedFunction:
    return WatchedFunction(
        f"Host.Functions.{spec.name}", BlobPattern(str(spec.trigger.get("path")))
    )


def _is_told_by_events(spec: FunctionSpec) -> bool:
    return str(spec.trigger.get("source")).lower() == "eventgrid"

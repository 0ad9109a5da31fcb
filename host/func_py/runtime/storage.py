"""Wires the bindings to Azure Storage: clients, inputs, outputs, and what triggers functions.

An app without such a binding gets none of it, nor is this module imported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from func_py.clock import Clock, RealClock
from func_py.config.settings import HostConfig
from func_py.errors import ConnectionSettingError
from func_py.invocation import Invoker, RetryingInvoker
from func_py.logs import Logs
from func_py.runtime.access import host_id_of
from func_py.runtime.blob_events import KEY, PREFIX
from func_py.runtime.blob_triggers import BlobTriggers
from func_py.runtime.queue_triggers import queue_calls, queue_listener, queue_options
from func_py.runtime.retries import with_retry
from func_py.storage.blobs import Blobs
from func_py.storage.connections import StorageConnections
from func_py.storage.queue_output import QueueWriter
from func_py.storage.queues import Queues
from func_py.storage.tables import Tables
from func_py.storage.wakes import Wakes
from func_py.web.admin_calls import CallMaker
from func_py.web.front_end import Mount
from func_py_bindings import blob, queue, table
from func_py_bindings.contract import FunctionSpec, InputFetcher, OutputWriter


class Listener(Protocol):
    """Looks at a place in storage, and has what it finds there worked on."""

    @property
    def place(self) -> str: ...

    def start(self) -> None: ...

    def wake(self) -> None: ...

    async def stop(self, grace_s: float) -> None: ...


class Storage:
    """The storage of one host's bindings. Nothing is asked of a service before a call needs it.

    Args:
        config: The host's configuration.
        development: Look more often, as one machine alone may.
    """

    def __init__(
        self, config: HostConfig, *, development: bool, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._clock = clock or RealClock()
        self._connections = StorageConnections(config.app_settings)
        self._wakes = Wakes()
        is_base64 = config.queues.message_encoding.lower() == "base64"
        self._queues = Queues(self._connections, self._wakes, is_base64=is_base64)
        self._options = queue_options(config.queues, development=development)
        self._blobs = Blobs(self._connections, self._wakes, self._clock)
        self._blob_triggers = BlobTriggers(
            self._connections,
            self._blobs,
            self._queues,
            config.blobs,
            host_id=host_id_of(config.root, config.app_settings),
            development=development,
            clock=self._clock,
        )
        tables = Tables(self._connections, self._clock)
        self.fetchers: Mapping[str, InputFetcher] = {blob.TYPE: self._blobs, table.TYPE: tables}
        """For the invoker: inputs by lower-case type."""
        self.writers: Mapping[str, OutputWriter] = {
            queue.OUTPUT: QueueWriter(self._queues, self._clock),
            blob.TYPE: self._blobs,
            table.TYPE: tables,
        }
        """For the invoker: outputs by lower-case type."""

    def calls(self, invoker: Invoker) -> Mapping[str, CallMaker]:
        """How an admin calls the functions, by lower-case trigger type."""
        return {
            queue.TRIGGER.lower(): queue_calls(invoker),
            blob.TRIGGER.lower(): self._blob_triggers.calls(invoker),
        }

    def webhooks(self, functions: Iterable[FunctionSpec]) -> list[tuple[Mount, str]]:
        """What services call when something happened in them, and the names of the keys."""
        sound = [spec for spec in functions if not spec.problem]
        events = self._blob_triggers.events(_triggered_by(blob.TRIGGER, sound))
        return [] if events is None else [(Mount(PREFIX, events.handle), KEY)]

    @asynccontextmanager
    async def listening(
        self, functions: Iterable[FunctionSpec], invoker: Invoker, logs: Logs, grace_s: float
    ) -> AsyncIterator[Callable[[float], Coroutine[None, None, None]]]:
        """Call functions that storage triggers, while entered.

        On the way out running ones get `grace_s` seconds. A function whose connection cannot be
        used is told about and left alone.

        Yields:
            What stops them before that: at once those that do not run, the others within seconds.
        """
        retrying = RetryingInvoker(invoker, logs, self._clock)
        listeners = self._listeners(functions, invoker, retrying, logs)
        for listener in listeners:
            self._wakes.subscribe(listener.place, listener.wake)
            listener.start()

        async def stop(grace_s: float) -> None:
            retrying.stop()
            await asyncio.gather(*(listener.stop(grace_s) for listener in listeners))

        try:
            yield stop
        finally:
            await stop(grace_s)

    async def close(self) -> None:
        """Close the clients."""
        await self._connections.close()

    def _listeners(
        self,
        functions: Iterable[FunctionSpec],
        invoker: Invoker,
        retrying: RetryingInvoker,
        logs: Logs,
    ) -> list[Listener]:
        retry = self._config.retry
        sound = [with_retry(spec, retry) for spec in functions if not spec.problem]
        listeners: list[Listener] = []
        waiting: dict[str, list[str]] = {}
        for spec in _triggered_by(queue.TRIGGER, sound):
            try:
                listeners.append(
                    queue_listener(
                        spec, invoker, retrying, self._queues, self._options, self._clock
                    )
                )
            except ConnectionSettingError as exc:
                waiting.setdefault(str(exc), []).append(spec.name)
        listeners += self._blob_triggers.listeners(
            _triggered_by(blob.TRIGGER, sound), invoker, retrying, waiting
        )
        for problem, names in waiting.items():
            logs.announce(f"Nothing triggers {', '.join(names)}. {problem}", logging.WARNING)
        return listeners


def _triggered_by(kind: str, functions: Iterable[FunctionSpec]) -> list[FunctionSpec]:
    return [spec for spec in functions if spec.trigger.type.lower() == kind.lower()]

"""What clients may ask of a task hub: start, raise, terminate, suspend, resume, read, purge.

Built on the storage contract alone, so it works on any host, also for partitions of others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from func_py.clock import Clock
from func_py.durable.faults import reach
from func_py.durable.model import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    TraceContext,
    instance_id_problem,
    new_id,
    pending_state,
)
from func_py.durable.storage.base import REUSE_FINISHED, InstancePage, InstanceQuery, TaskHub
from func_py.errors import FunctionNotRegistered, InvalidInstanceId


class DurableClient:
    """The client of one task hub."""

    def __init__(
        self,
        hub: TaskHub,
        clock: Clock,
        *,
        missing: Callable[[str], FunctionNotRegistered | None] = lambda _: None,
        reusable: Collection[RuntimeStatus] = REUSE_FINISHED,
        default_version: str | None = None,
    ) -> None:
        """`missing(name)`: the error when no orchestrator of this name is registered, or None.
        `reusable`: statuses in which an existing instance is replaced by a start of its id."""
        self._hub = hub
        self._clock = clock
        self._missing = missing
        self._reusable = reusable
        self._default_version = default_version

    async def start(
        self,
        name: str,
        *,
        instance_id: str | None = None,
        input: str | None = None,
        version: str | None = None,
        trace: TraceContext | None = None,
    ) -> str:
        """Start an orchestration; durable when this returns.

        Args:
            name: The orchestrator's name, case ignored.
            instance_id: Its id; a random one when None or empty.
            input: The stored form of the input: the JSON text of the body as received.
            version: Overrides the host's default version.
            trace: The caller's trace context.

        Returns:
            The instance id.

        Raises:
            FunctionNotRegistered: No such orchestrator.
            InvalidInstanceId: The id cannot be used.
            InstanceAlreadyExists: An instance of this id may not be replaced.
        """
        if (error := self._missing(name)) is not None:
            raise error
        instance_id = instance_id or new_id()
        if (problem := instance_id_problem(instance_id)) is not None:
            raise InvalidInstanceId(instance_id, problem)
        execution_id = new_id()
        event = ExecutionStarted(
            timestamp=self._clock.now(),
            message_id=execution_id,
            name=name,
            execution_id=execution_id,
            input=input,
            version=version if version is not None else self._default_version,
            trace=trace,
        )
        start = Message(
            id=execution_id, instance_id=instance_id, execution_id=execution_id, event=event
        )
        await self._hub.create_instance(pending_state(instance_id, event), start, self._reusable)
        reach("client.after_create")
        return instance_id

    async def raise_event(self, instance_id: str, name: str, input: str | None) -> None:
        """Send an external event; `input` is the JSON text of the body as received.

        Durable when this returns. Dropped when the instance does not exist or has finished.
        """
        message_id = new_id()
        await self._send(
            instance_id,
            EventRaised(timestamp=self._clock.now(), message_id=message_id, name=name, input=input),
        )

    async def terminate(self, instance_id: str, reason: str | None) -> None:
        """Ask to end an instance; the reason becomes its output."""
        await self._send(
            instance_id,
            ExecutionTerminated(timestamp=self._clock.now(), message_id=new_id(), reason=reason),
        )

    async def suspend(self, instance_id: str, reason: str | None) -> None:
        """Ask to hold an instance: its messages wait until it is resumed."""
        await self._send(
            instance_id,
            ExecutionSuspended(timestamp=self._clock.now(), message_id=new_id(), reason=reason),
        )

    async def resume(self, instance_id: str, reason: str | None) -> None:
        """Ask to go on with a suspended instance."""
        await self._send(
            instance_id,
            ExecutionResumed(timestamp=self._clock.now(), message_id=new_id(), reason=reason),
        )

    async def get(self, instance_id: str) -> InstanceState | None:
        """The instance's record as stored now, or None."""
        return await self._hub.get_instance(instance_id)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """The committed events of the current execution, in order."""
        return await self._hub.get_history(instance_id)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """One page of instances."""
        return await self._hub.query_instances(query)

    async def purge(self, instance_id: str) -> bool:
        """Delete a finished instance and all that belongs to it; False when there is none.

        Raises:
            InstanceNotFinished: It still runs.
        """
        return await self._hub.purge(instance_id)

    async def _send(self, instance_id: str, event: HistoryEvent) -> None:
        await self._hub.send([Message(id=event.message_id, instance_id=instance_id, event=event)])
        reach("client.after_send")

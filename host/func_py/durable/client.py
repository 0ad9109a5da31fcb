"""What clients may ask of a task hub: start, raise, terminate, suspend, resume, read, purge;
of entities: signal, read, query, clean.

Built on the storage contract alone, so it works on any host, also for partitions of others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from func_py.clock import Clock
from func_py.durable.faults import reach
from func_py.durable.model import (
    RELEASE_EVENT,
    REQUEST_EVENT,
    EntityRequest,
    EntityState,
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    InstanceState,
    LockRelease,
    Message,
    RuntimeStatus,
    SubOrchestrationCreated,
    TraceContext,
    encode_release,
    encode_request,
    entity_id,
    entity_id_problem,
    instance_id_problem,
    new_id,
    pending_state,
    request_trace,
    split_entity_id,
)
from func_py.durable.storage.base import REUSE_FINISHED, InstancePage, InstanceQuery, TaskHub
from func_py.durable.storage.histories import history_pages, whole_history
from func_py.errors import (
    FunctionNotRegistered,
    InstanceNotFinished,
    InstanceNotFound,
    InvalidInstanceId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityQuery:
    """Filter of `query_entities`. Bounds on the last turn's time are inclusive; no name: all."""

    name: str = ""
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    page_size: int = 100
    continuation: str = ""


class DurableClient:
    """The client of one task hub."""

    def __init__(
        self,
        hub: TaskHub,
        clock: Clock,
        *,
        missing: Callable[[str], FunctionNotRegistered | None] = lambda _: None,
        missing_entity: Callable[[str], FunctionNotRegistered | None] = lambda _: None,
        reusable: Collection[RuntimeStatus] = REUSE_FINISHED,
        default_version: str | None = None,
    ) -> None:
        """`missing(name)`: the error when no orchestrator of this name is registered, or None;
        `missing_entity` the same for entities.
        `reusable`: statuses in which an existing instance is replaced by a start of its id."""
        self._hub = hub
        self._clock = clock
        self._missing = missing
        self._missing_entity = missing_entity
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
            long_timers=self._hub.long_timers,
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

    async def terminate(
        self, instance_id: str, reason: str | None, *, recursive: bool = False
    ) -> None:
        """Ask to end an instance; the reason becomes its output.

        Args:
            instance_id: The instance.
            reason: Free text, or None.
            recursive: Also end the sub-orchestrations it has started, and theirs.
        """
        await self._send(
            instance_id,
            ExecutionTerminated(
                timestamp=self._clock.now(),
                message_id=new_id(),
                reason=reason,
                recursive=recursive,
            ),
        )

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """Ask to take a failed instance back to before its failure and go on from there.

        Children that failed are rewound with it. Anything but a failed instance stays as it is.
        """
        await self._send(
            instance_id,
            ExecutionRewound(timestamp=self._clock.now(), message_id=new_id(), reason=reason),
        )

    async def restart(self, instance_id: str, *, new_instance_id: bool) -> str:
        """Start the same orchestration with the same input once more; its id.

        Args:
            instance_id: The instance to copy name, input and version from.
            new_instance_id: Under a new id; otherwise in place of the old one.

        Raises:
            InstanceNotFound: There is nothing to copy.
            InstanceAlreadyExists: The old one may not be replaced.
        """
        state = await self._hub.get_instance(instance_id)
        if state is None or state.entity is not None:
            raise InstanceNotFound(instance_id)
        return await self.start(
            state.name,
            instance_id=None if new_instance_id else instance_id,
            input=state.input,
            version=state.version,
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
        return await whole_history(self._hub, instance_id)

    def history_pages(self, instance_id: str) -> AsyncIterator[Sequence[HistoryEvent]]:
        """The same page by page, for a history that may be long.

        Raises:
            HistoryChanged: The execution was replaced meanwhile; begin again.
        """
        return history_pages(self._hub, instance_id)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """One page of instances."""
        return await self._hub.query_instances(query)

    async def purge(self, instance_id: str) -> bool:
        """Delete a finished instance and all that belongs to it; False when there is none.

        An entity that exists is deleted by its owner, after what was sent to it before.

        Raises:
            InstanceNotFinished: It still runs.
        """
        if split_entity_id(instance_id) is not None:
            state = await self._hub.get_instance(instance_id)
            if state is not None and not state.status.is_terminal:
                await self.terminate(instance_id, None)
                return True
        return await self._hub.purge(instance_id)

    async def purge_with_children(self, instance_id: str) -> int:
        """Delete a finished instance and its finished sub-orchestrations, and theirs; how many.

        Children go first, so that a second call finds what an interrupted one left. One that still
        runs stays, and so does everything above it.
        """
        return await self._purge_tree(instance_id, set())

    async def _purge_tree(self, instance_id: str, seen: set[str]) -> int:
        seen.add(instance_id)
        state = await self._hub.get_instance(instance_id)
        if state is None or not state.status.is_terminal:
            return 0
        count = 0
        for event in await whole_history(self._hub, instance_id, SubOrchestrationCreated):
            assert isinstance(event, SubOrchestrationCreated)
            if event.instance_id not in seen:
                count += await self._purge_tree(event.instance_id, seen)
                if await self._hub.get_instance(event.instance_id) is not None:
                    return count
        return count + await self._purge_unless_back(instance_id)

    async def purge_all(
        self,
        created_from: datetime,
        created_to: datetime | None,
        statuses: Collection[RuntimeStatus] = (),
    ) -> int:
        """Delete the finished instances created in that span; how many there were.

        Args:
            created_from: Earliest creation time, inclusive.
            created_to: Latest creation time, inclusive; now when None.
            statuses: Only these; unfinished ones among them are ignored. None given: all finished.
        """
        wanted = frozenset(s for s in (statuses or RuntimeStatus) if s.is_terminal)
        if not wanted:
            return 0
        count = 0
        continuation = ""
        while True:
            page = await self._hub.query_instances(
                InstanceQuery(
                    created_from=created_from,
                    created_to=created_to or self._clock.now(),
                    statuses=wanted,
                    continuation=continuation,
                    inputs=False,
                    outputs=False,
                )
            )
            for state in page.items:
                count += await self._purge_unless_back(state.instance_id)
            continuation = page.continuation
            if not continuation:
                return count

    # ---- entities --------------------------------------------------------------------------

    async def signal_entity(
        self,
        name: str,
        key: str,
        operation: str,
        input: str | None,
        *,
        trace: TraceContext | None = None,
    ) -> None:
        """Ask an entity for an operation, one way; durable when this returns.

        Args:
            name: The entity's name, case ignored.
            key: Its key, which may be empty.
            operation: What its code finds as the operation's name.
            input: JSON text: a string that holds JSON (as the SDK sends it), or any other JSON.
            trace: The caller's trace context.

        Raises:
            FunctionNotRegistered: No such entity function.
            InvalidInstanceId: Name or key cannot be used.
        """
        if (error := self._missing_entity(name)) is not None:
            raise error
        if (problem := entity_id_problem(name, key)) is not None:
            raise InvalidInstanceId(entity_id(name, key), problem)
        message_id = new_id()
        request = EntityRequest(
            id=message_id,
            operation=operation,
            is_signal=True,
            input=input,
            trace=request_trace(trace),
        )
        await self._send(
            entity_id(name, key),
            EventRaised(
                timestamp=self._clock.now(),
                message_id=message_id,
                name=REQUEST_EVENT,
                input=encode_request(request),
            ),
        )

    async def read_entity(self, name: str, key: str) -> EntityState | None:
        """The entity as stored now, or None when it does not exist."""
        state = await self._hub.get_instance(entity_id(name, key))
        return state.entity if state is not None and _exists(state) else None

    async def query_entities(self, query: EntityQuery) -> InstancePage:
        """One page of entities that exist, in the order of the first turn they had.

        A page may hold fewer than were asked for, but is empty only at the end.
        """
        continuation = query.continuation
        while True:
            page = await self._hub.query_instances(
                InstanceQuery(
                    statuses=frozenset({RuntimeStatus.RUNNING}),
                    prefix=entity_id(query.name, "") if query.name else "@",
                    page_size=query.page_size,
                    continuation=continuation,
                )
            )
            found = [state for state in page.items if _exists(state) and _is_within(query, state)]
            continuation = page.continuation
            if found or not continuation:
                return InstancePage(items=found, continuation=continuation)

    async def clean_entities(self, name: str = "") -> int:
        """Delete the records of entities that do not exist any more; how many there were.

        What has been sent to such an entity is not lost: it comes into existence again. Locks of
        orchestrations that are not there any more are released.
        """
        prefix = entity_id(name, "") if name else "@"
        count = 0
        continuation = ""
        while True:
            page = await self._hub.query_instances(
                InstanceQuery(prefix=prefix, continuation=continuation)
            )
            for state in page.items:
                if state.entity is not None and state.entity.locked_by is not None:
                    await self._release_unless_alive(state.instance_id, state.entity.locked_by)
                if not _exists(state) and state.status.is_terminal:
                    count += await self._purge_unless_back(state.instance_id)
            continuation = page.continuation
            if not continuation:
                return count

    async def _release_unless_alive(self, instance_id: str, holder: str) -> None:
        found = await self._hub.get_instance(holder)
        if found is not None and not found.status.is_terminal:
            return
        release = EventRaised(
            timestamp=self._clock.now(),
            message_id=new_id(),
            name=RELEASE_EVENT,
            input=encode_release(LockRelease(parent=holder, id="fix-orphaned-lock")),
        )
        await self._send(instance_id, release)

    async def _purge_unless_back(self, instance_id: str) -> bool:
        try:
            return await self._hub.purge(instance_id)
        except InstanceNotFinished:
            return False

    async def _send(self, instance_id: str, event: HistoryEvent) -> None:
        await self._hub.send([Message(id=event.message_id, instance_id=instance_id, event=event)])
        reach("client.after_send")


def _exists(state: InstanceState) -> bool:
    return state.entity is not None and state.entity.exists


def _is_within(query: EntityQuery, state: InstanceState) -> bool:
    time = state.last_updated_at
    return (query.updated_from is None or query.updated_from <= time) and (
        query.updated_to is None or time <= query.updated_to
    )

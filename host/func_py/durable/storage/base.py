"""The storage contract: what the engine asks of a task hub, and what every provider must hold.

This page is the map of the durable system. A provider stores instances, their histories, the
messages on their way to them, and the work they handed out; it fences writers; it wakes the owner.
Everything else (turns, retries, cascades, waiting, serialisation of user values) is built above it.
`tests/conformance` holds a test per clause and runs on every provider.

CONTRACT

 1. `create_instance` is atomic with the reuse policy: the policy is checked on the row, everything
    of a replaced execution (history, messages, timers, activities) is deleted, and row and start
    message are stored together. A losing racer gets InstanceAlreadyExists and leaves no trace.
    Repeating a call that succeeded (same execution id) changes nothing and is not an error.
 2. Mail: every stored message reaches, at least once, the host that owns its partition, until a
    committed turn (or `discard`) consumed it. Of two messages to one instance the one stored first
    is delivered first. A message is given to `receive` of the owner once per lease, unless the
    provider lacks Capability.TRANSACTIONS; after a new acquire `recover` gives it again.
 3. `send` stores all its messages or none. A message whose id is stored already is not stored
    again. Sending to an instance that does not exist stores nothing and is not an error, unless the
    target is an entity (`@name@key`). The messages of a turn follow the same rules. A start message
    that is sent (a child's) stores the Pending record of the new instance with it and replaces a
    finished one; beside a live instance it is a message like others, for the owner to answer. A
    provider without Capability.TRANSACTIONS may leave that record to the instance's first turn.
 4. `commit` treats each turn as all or nothing: history, state, consumed messages, timers,
    activities and outgoing messages. It answers per turn, in order. A turn that is lost changed
    nothing, and does not keep others from being committed.
 5. Partition fence: a turn whose lease is no longer the partition's current one is lost (FENCED).
 6. Instance fence: a turn whose token is not that of the stored instance is lost (STALE): somebody
    else committed a turn, or the instance was replaced or purged. `load`, a committed turn, and the
    start mail of a new instance give the current token. A turn without token creates its instance
    and is STALE when there is one.
 7. A turn that consumes a message or takes an activity that is not stored any more is lost
    (MISSING).
 8. A turn whose values the store refuses is lost (REJECTED, with the reason) and harms no other.
 9. Nothing a turn sends or hands out is visible to anybody before that turn is durable. What
    `create_instance`, `send` and `commit` reported as done survives the death of the process and of
    the machine.
10. `get_history` returns the committed events of the current execution in the order they were
    appended, without a gap; a turn with `replaces_history` leaves nothing of older ones.
11. `acquire` gives only partitions that are free or whose holder is dead, each with an epoch that
    the partition never had before. It returns at once with what it got.
12. `recover` gives everything pending of a partition: messages in order, timers due before a given
    time, and activities. Activities held by a dead host or by nobody become ours, with `attempt`
    +1; those of other live hosts are left alone.
13. `timers` gives stored timers with `after <= fire_at < until`, so that the owner need not hold
    far ones in memory. A timer is stored until a turn ends it or its execution ends.
14. Activities of an execution are stored by the turn that scheduled them, held by the committing
    host, until a turn takes their result, `drop_activities` or a replacing `create_instance` or a
    purge deletes them, or `discard` removes one whose execution is gone.
15. `purge` deletes an instance and all that belongs to it; of an unfinished one it deletes nothing
    and raises InstanceNotFinished; of an unknown one it returns False.
16. Reads (`get_instance`, `get_history`, `query_instances`) come from the store, work on any host
    and see everything that was reported as done before they began.
17. `query_instances` is ordered by creation time, then id; a continuation token continues exactly
    after the last item, whatever was inserted or deleted meanwhile. Entities are left out unless
    the prefix starts with `@`.
18. Every method may raise StorageUnavailable: nothing happened, or the call may safely be repeated.
19. Cancelling an awaiting task leaves no lock, connection or transaction behind; a write that was
    under way is finished or undone.
20. `create_hub` is idempotent and safe when several hosts do it at once. `open` refuses a hub of
    another schema version (SchemaMismatch) or another partition count (ConfigError). Hubs of
    different names never see each other.
21. A host record lives as long as its host. A host that died without `close` is seen as dead by
    the others, on an embedded hub at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Protocol

import msgspec

from func_py.durable.model import (
    ActivityTask,
    HistoryEvent,
    InstanceState,
    Message,
    RuntimeStatus,
    TimerTask,
)


class Capability(StrEnum):
    """What only some providers can promise."""

    TRANSACTIONS = auto()
    """Turns of many instances commit together; messages are delivered once per lease."""


REUSE_FINISHED: frozenset[RuntimeStatus] = frozenset(s for s in RuntimeStatus if s.is_terminal)
"""Reuse policy of host.json `NonRunningStates` (the default): replace finished instances only."""

REUSE_ANY: frozenset[RuntimeStatus] = frozenset(RuntimeStatus)
"""Reuse policy of host.json `AnyState`: an existing instance is always replaced."""

Token = object
"""Opaque fence of one instance: equal means that nothing changed. SQL: execution id and history
length. Azure Storage: the ETag of the sentinel row."""


class Lease(msgspec.Struct, frozen=True):
    """Proof of owning a partition. `epoch` grows with every acquisition of that partition."""

    partition: int
    epoch: int


class TaskKey(msgspec.Struct, frozen=True):
    """Names one activity call: unique within the task hub."""

    instance_id: str
    execution_id: str
    task_id: int


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A message delivered to the owner under `epoch`; stale when the lease has changed since.

    `token` is set on the start message of an instance that has had no turn yet: with it the first
    turn needs no `load`. A provider without Capability.TRANSACTIONS may leave it out.
    """

    partition: int
    epoch: int
    message: Message
    token: Token | None = None


class Turn(msgspec.Struct, kw_only=True):
    """What one turn of one instance changes; built by the engine, stored as a whole (clause 4)."""

    lease: Lease
    token: Token | None
    """Of the stored instance; None when `load` found none (the first turn of an entity)."""
    state: InstanceState
    """The instance's record after the turn; carries instance id and (maybe new) execution id."""
    events: Sequence[HistoryEvent] = ()
    """Appended to the history, in order; the whole history when `replaces_history`."""
    replaces_history: bool = False
    """Continue-as-new: also ends every timer of the former execution."""
    consumed: Sequence[str] = ()
    """Ids of the messages this turn took."""
    taken: Sequence[TaskKey] = ()
    """Activities whose result this turn took."""
    activities: Sequence[ActivityTask] = ()
    timers: Sequence[TimerTask] = ()
    ended_timers: Sequence[int] = ()
    """Task ids, in the execution before the turn, of timers that fired or were cancelled."""
    messages: Sequence[Message] = ()
    """To other instances, or to this one; stored and delivered with the commit."""
    drop_activities: bool = False
    """Delete the stored activities of the execution (terminate): those not yet run never will."""


class Committed(msgspec.Struct, frozen=True):
    """The turn is durable; `token` fences the next one."""

    token: Token


class LostReason(Enum):
    """Why a turn was not committed; see clauses 5 to 8."""

    FENCED = auto()
    STALE = auto()
    MISSING = auto()
    REJECTED = auto()


class Lost(msgspec.Struct, frozen=True):
    """The turn changed nothing."""

    reason: LostReason
    detail: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """An instance as stored. `history` is empty when it was not asked for, or none exists yet."""

    state: InstanceState
    token: Token
    history: Sequence[HistoryEvent] = ()


class Recovered(msgspec.Struct, frozen=True):
    """What a partition had pending when it was acquired (clause 12)."""

    mail: Sequence[Mail]
    timers: Sequence[TimerTask]
    activities: Sequence[ActivityTask]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuery:
    """Filter of `query_instances`. Bounds on creation time are inclusive; no statuses: all."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    statuses: frozenset[RuntimeStatus] = frozenset()
    prefix: str = ""
    page_size: int = 100
    continuation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePage:
    """One page; `continuation` is empty on the last one."""

    items: Sequence[InstanceState] = field(default_factory=list)
    continuation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubInfo:
    """A task hub that is open. `location` is shown to people (a path, a server)."""

    name: str
    provider: str
    location: str
    partition_count: int
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What a host tells the others: its fresh id and the durable functions it has registered."""

    host_id: str
    started_at: datetime
    functions: Sequence[str] = ()
    """`kind:name`, lower case: `activity:say_hello`."""


class TaskHub(Protocol):
    """One task hub, seen by one host process. All methods run on one event loop."""

    # ---- hub -------------------------------------------------------------------------------

    async def create_hub(self) -> None:
        """Create what the hub needs in the store, or migrate an older schema. Contract: 20."""
        ...

    async def open(self, host: HostRecord) -> HubInfo:
        """Connect and make this host known. Contract: 20, 21."""
        ...

    async def close(self) -> None:
        """Release every lease, forget this host, close connections. Idempotent, bounded."""
        ...

    async def delete_hub(self) -> None:
        """Delete the hub with all its instances. It must not be open in any process."""
        ...

    async def hosts(self) -> Sequence[HostRecord]:
        """The live hosts of this hub, ours included. Contract: 21."""
        ...

    # ---- client ----------------------------------------------------------------------------

    async def create_instance(
        self, state: InstanceState, start: Message, reusable: Collection[RuntimeStatus]
    ) -> None:
        """Store a Pending instance and its start message (an ExecutionStarted).

        Args:
            state: The new record; its execution id is that of `start`.
            start: The start message, with the execution id it starts.
            reusable: Statuses in which an existing instance with this id is replaced.

        Raises:
            InstanceAlreadyExists: The id is taken by an instance in another status.
            StorageError: A value cannot be stored.

        Contract: 1, 9.
        """
        ...

    async def send(self, messages: Sequence[Message]) -> None:
        """Store messages for instances of any partition. Contract: 2, 3, 9.

        Raises:
            StorageError: A value cannot be stored; none of the messages is.
        """
        ...

    async def get_instance(self, instance_id: str) -> InstanceState | None:
        """The stored record, or None. Contract: 16."""
        ...

    async def get_history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """The events of the current execution, empty for unknown and Pending. Contract: 10, 16."""
        ...

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """One page of instances; raises UserError for a bad continuation. Contract: 16, 17."""
        ...

    async def purge(self, instance_id: str) -> bool:
        """Delete a finished instance; True when there was one. Contract: 15."""
        ...

    # ---- owner -----------------------------------------------------------------------------

    async def acquire(self, partitions: Collection[int]) -> Sequence[Lease]:
        """Take those of the partitions that are free. Contract: 11."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give partitions back with the activities we hold there, for another host to take at once.

        Stale leases are ignored. An activity that still runs here may so run twice.
        """
        ...

    async def recover(self, lease: Lease, timers_until: datetime) -> Recovered:
        """Everything pending of a partition just acquired; raises LeaseLost. Contract: 12.

        Mail that arrives after this answer comes from `receive`; none is missed in between. Called
        again under the same lease, it gives everything again.
        """
        ...

    async def receive(self) -> Sequence[Mail]:
        """Wait for mail to any partition held by this host; in stored order per partition.

        Contract: 2, 19. May be called by one task only.
        """
        ...

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """Stored timers of the partition that become due in that span. Contract: 13."""
        ...

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """Read an instance for a turn, in one consistent view, or None. Contract: 6, 10."""
        ...

    async def commit(self, turns: Sequence[Turn]) -> Sequence[Committed | Lost]:
        """Store turns of different instances; the answer has one entry per turn. Contract: 4-9.

        At most one turn per instance. Turns of one call may be split over several transactions.
        """
        ...

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """Delete mail and activities that no turn will take (their instance is gone or finished).

        What is not stored any more is ignored; raises LeaseLost. Contract: 2, 14.
        """
        ...

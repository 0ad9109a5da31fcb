"""The storage contract: what the engine asks of a task hub, and what every provider must hold.

This page is the map of the durable system. A provider stores instances, their histories, the
messages on their way to them, and the work they handed out; it fences writers; it wakes the owner.
Everything else (turns, retries, cascades, waiting, serialisation of user values) is built above it.
`tests/conformance` holds a test per clause and runs on every provider.

It is longer than other modules, because a contract is read as a whole: the clauses, the values they
speak of, and the verbs that cite them.

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
10. `read_history` gives the committed events of the current execution in the order they were
    appended, without a gap, in pages of about PAGE_BYTES and at least one event; a turn with
    `replaces_history` leaves nothing of older ones. A page continues exactly where the one before
    ended, or raises HistoryChanged because that execution is not the current one any more. Pages
    that continue a `load` are of the moment of its token: they also raise after another turn.
11. `acquire` gives only partitions that are free or whose holder is dead, each with an epoch that
    the partition never had before, and no more than asked for. It returns at once with what it got.
12. `recover` gives everything pending of a partition: messages in order, timers due before a given
    time, and activities. Activities held by a dead host or by nobody become ours, with `attempt`
    +1; those of other live hosts are left alone. A provider without Capability.TRANSACTIONS may
    leave out timers that another host set: they come from `receive` when they are due.
13. `timers` gives stored timers with `after <= fire_at < until`, so that the owner need not hold
    far ones in memory. A timer is stored until a turn ends it or its execution ends. See also 12.
14. Activities of an execution are stored by the turn that scheduled them, held by the committing
    host, until a turn takes their result, `drop_activities` or a replacing `create_instance` or a
    purge deletes them, `discard` removes one whose execution is gone, or clause 25 applies.
15. `purge` deletes an instance and all that belongs to it; of an unfinished one it deletes nothing
    and raises InstanceNotFinished; of an unknown one it returns False. Mail to an entity stays: it
    comes into existence again.
16. Reads (`get_instance`, `read_history`, `query_instances`) come from the store, work on any host
    and see everything that was reported as done before they began.
17. `query_instances` is ordered by creation time, then id; without Capability.TRANSACTIONS it may
    be by id alone. A continuation token continues exactly after the last item, whatever was
    inserted or deleted meanwhile. Entities are left out unless the prefix starts with `@`.
18. Every method may raise StorageUnavailable: nothing happened, or the call may safely be repeated.
19. Cancelling an awaiting task leaves no lock, connection or transaction behind; a write that was
    under way is finished or undone.
20. `create_hub` is idempotent and safe when several hosts do it at once. `open` refuses a hub that
    was not created (TaskHubNotFound), has another schema version (SchemaMismatch) or another
    partition count (ConfigError). Hubs of different names never see each other.
21. A host record lives as long as its host, and says what that published last. A host that died
    without `close` is seen as dead by the others: on an embedded hub at once, elsewhere when its
    lease time is over, which is a setting of that host and not of those who judge.
22. Records: `write_record` and `delete_record` change a record when its version is the one given
    (0: there is none) and no other live host holds its key. Otherwise they answer False and nothing
    changed; so may a call that is repeated after its answer got lost. The versions of a key only
    grow, also when it is deleted and written anew.
23. `hold_record` gives a key to one live host at a time, whether there is a record or not. Nothing
    renews a hold: it ends with `release_record`, with `close`, or with the host as in clause 21. A
    host that was taken for dead has lost its holds, and clause 22 keeps it from writing there.
24. Sharing work: `offer_activities` gives up activities that this host holds; `claim_activities`
    gives each of them to one host that has its name, which then holds it. Neither counts an
    attempt. An activity is held by at most one host, and moving its partition changes nothing.
25. `complete_activity` stores the result, a message like others, and deletes the activity: both or,
    when this host does not hold it any more, neither. A provider without Capability.TRANSACTIONS
    stores the message first; after a death in between the activity runs, and answers, again. It may
    be unable to delete an activity that another host holds: the owner drops the result then.
26. `take_back_activities` makes those of a partition ours that nobody holds, offered or not, and
    those whose holder is dead; only these count an attempt.
27. `release` gives up partitions with the activities that we hold there. Those in `keep` stay ours
    until `complete_activity` ends them, whoever owns the partition by then.
28. `watch_hosts` returns soon after a host entered, left, died (clause 21) or published something
    else, another host released a partition, or a lease of ours was lost. Nothing of that is missed
    between two calls. It may return without a reason.
29. While `is_overdue`, others may take this host for dead: it has not given a sign of life for the
    time that they wait for one. `renew` ends that and tells which leases are still ours. What was
    taken from us meanwhile stays where it is (clauses 5 and 25); the rest is as it was.
30. `whereabouts` is for people: it says who holds the partition of an instance, until when the
    others leave it to that host without another sign of life, and who holds the activities of its
    current execution. A provider without Capability.TRANSACTIONS may know of no activity.
31. Without Capability.TRANSACTIONS, mail and activities that a dead host had in its hands may be
    absent from `recover` for a while. `unseen` counts what is stored and cannot be read now; once a
    partition has been ours for the time that it names, only timers are (clause 12).
32. Payloads (input, result) of more than `HubInfo.payload_limit` characters are withheld, so that
    what waits does not fill the memory: messages and activities are given without them and say so
    (`withheld`). `read_mail` and `read_activity` give what was withheld whole, for as long as it is
    stored. Where the limit is None nothing is withheld. Histories and records that are asked for
    are whole, but for what a query does without (`InstanceQuery.inputs`, `outputs`).
33. What cuts the timers of an execution is decided when that begins, by `long_timers` of the hub
    where it does, and comes back as part of its ExecutionStarted, also where it was moved to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Protocol

import msgspec

from func_py.durable.model import (
    ActivityTask,
    HistoryEvent,
    InstanceState,
    LongTimers,
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
"""Opaque fence of one instance: equal means that nothing changed. SQL: the number of its row and of
the turns committed to it. Azure Storage: the ETag of the sentinel row."""


Position = object
"""Where in a history a page ended; opaque, and of use to the provider that gave it only."""

PAGE_BYTES = 1024 * 1024
"""Size of a page of history as it is stored; a page ends with the event that reaches it."""


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
    turn needs no `load`. A provider without Capability.TRANSACTIONS may leave it out; all leave it
    out when the payload is withheld.
    """

    partition: int
    epoch: int
    message: Message
    token: Token | None = None
    withheld: bool = False
    """The event has a payload, which is not in it (clause 32)."""


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
    """Activities of this instance whose result this turn took."""
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
    """The first page (clause 10)."""
    more: Position | None = None
    """Asks `read_history` for the next page; None when this is all."""


class HistoryPage(msgspec.Struct, frozen=True):
    """Some events of a history, in order; `next` asks for those after them, if there are any."""

    events: Sequence[HistoryEvent]
    next: Position | None = None


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Who has an instance (clause 30)."""

    owner: str = ""
    """Id of the host that holds its partition; empty: any host may have that at once."""
    owner_until: datetime | None = None
    """When others may have it unless the owner gives a sign of life before, by the store's clock.
    None: when the owner dies, which is seen at once."""
    activities: Mapping[int, str] = {}
    """Task id → id of the host that holds the call; empty: nobody does."""


class Unseen(msgspec.Struct, frozen=True):
    """What is stored and cannot be read now (clause 31)."""

    count: int
    """Messages, timers and activities; never fewer than there are."""
    within: timedelta
    """How long after its partition was acquired the last of it can be read, but for timers."""


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
    inputs: bool = True
    """False: large inputs may be left out of the records."""
    outputs: bool = True
    """False: large outputs may be left out."""


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
    payload_limit: int | None = None
    """Characters; see clause 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What a host tells the others: its fresh id and the durable functions it has registered."""

    host_id: str
    started_at: datetime
    functions: Sequence[str] = ()
    """`kind:name`, lower case: `activity:say_hello`."""


class Record(msgspec.Struct, frozen=True):
    """A small named value of the hub, as `write_record` stored it (clause 22)."""

    key: str
    value: str
    version: int
    """At least 1."""


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
        """The live hosts of this hub, ours included, oldest first. Contract: 21."""
        ...

    async def publish(self, functions: Sequence[str]) -> None:
        """Tell the others what functions this host has from now on. Contract: 21."""
        ...

    async def watch_hosts(self, known: Sequence[HostRecord]) -> Sequence[HostRecord]:
        """Wait until something changed among the hosts. Contract: 19, 28.

        Args:
            known: What the call before gave, empty for the first one, which returns at once.

        Returns:
            As `hosts`. May be called by one task only.
        """
        ...

    @property
    def long_timers(self) -> LongTimers | None:
        """How executions that begin here cut their timers. Contract: 33."""
        ...

    @property
    def is_overdue(self) -> bool:
        """Must this host begin nothing before it has renewed? Costs nothing. Contract: 29."""
        ...

    async def renew(self) -> Sequence[Lease]:
        """Give a sign of life where one is due; the leases that are ours now. Contract: 29."""
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

    async def read_history(self, instance_id: str, after: Position | None = None) -> HistoryPage:
        """A page of the current execution's history. Contract: 10, 16.

        Args:
            instance_id: An unknown one, and one that is Pending, has an empty page.
            after: What the page before, or `load`, gave; None for the first page.

        Raises:
            HistoryChanged: There is no page after that one any more.
        """
        ...

    async def whereabouts(self, instance_id: str) -> Whereabouts:
        """Who has an instance; it need not exist. Contract: 16, 30."""
        ...

    async def query_instances(self, query: InstanceQuery) -> InstancePage:
        """One page of instances; raises UserError for a bad continuation. Contract: 16, 17."""
        ...

    async def purge(self, instance_id: str) -> bool:
        """Delete a finished instance; True when there was one. Contract: 15."""
        ...

    # ---- owner -----------------------------------------------------------------------------

    async def acquire(
        self, partitions: Collection[int], limit: int | None = None
    ) -> Sequence[Lease]:
        """Take those of the partitions that are free, at most `limit` of them. Contract: 11."""
        ...

    async def release(self, leases: Sequence[Lease], keep: Collection[TaskKey] = ()) -> None:
        """Give partitions back, for another host to take at once. Contract: 27.

        Args:
            leases: Stale ones are ignored.
            keep: Activities of these partitions that still run here. Any other one that we hold
                there goes along; if it runs all the same, it runs twice.
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

    async def read_mail(self, lease: Lease, message_id: str) -> Mail | None:
        """A message of our partition that was delivered without its payload, or None.

        It has the token that it would have had. Contract: 32.
        """
        ...

    async def timers(self, lease: Lease, after: datetime, until: datetime) -> Sequence[TimerTask]:
        """Stored timers of the partition that become due in that span. Contract: 13."""
        ...

    async def load(self, instance_id: str, *, history: bool = True) -> Loaded | None:
        """Read an instance for a turn, in one consistent view, or None. Contract: 6, 10."""
        ...

    def commit(self, turns: Sequence[Turn]) -> Awaitable[Sequence[Committed | Lost]]:
        """Store turns of different instances; the answer has one entry per turn. Contract: 4-9.

        At most one turn per instance. Turns of one call may be split over several transactions.
        May begin at once, before the answer is awaited, and raise at once what that would raise.
        """
        ...

    async def offer_activities(self, activities: Collection[ActivityTask]) -> None:
        """Let any host have activities that we hold and have not begun. Contract: 24.

        What we do not hold any more is ignored. They stay the work of their execution: what deletes
        them when they are held (clause 14) deletes them now.
        """
        ...

    async def claim_activities(self, names: Collection[str], limit: int) -> Sequence[ActivityTask]:
        """Wait for activities that are offered, and hold them. Contract: 19, 24.

        Args:
            names: Of the activities that this host has, in lower case. It may get what it offered
                itself, but is not woken by that.
            limit: Take no more than that; at least 1.

        Returns:
            One or more, in no particular order. May be called by one task only.
        """
        ...

    async def read_activity(self, key: TaskKey) -> ActivityTask | None:
        """An activity that was given without its input, or None. Contract: 32."""
        ...

    async def complete_activity(self, key: TaskKey, result: Message) -> bool:
        """Store the result of an activity of a partition that need not be ours. Contract: 9, 25.

        Args:
            key: The activity, which this host holds.
            result: To the instance and execution of the activity; its id derived from the key.

        Returns:
            False when the activity is not ours any more: deleted, completed, or taken from us
            because we were thought dead. Nothing was stored then.

        Raises:
            StorageError: The result cannot be stored; the activity is still held.
        """
        ...

    async def take_back_activities(self, lease: Lease) -> Sequence[ActivityTask]:
        """Hold what nobody runs in our partition; raises LeaseLost. Contract: 26.

        The owner calls this now and then while other hosts live or after one of them died.
        """
        ...

    async def unseen(self) -> Unseen:
        """What of our partitions nobody can read now. Contract: 16, 31."""
        ...

    async def discard(
        self, lease: Lease, messages: Collection[str], activities: Collection[TaskKey]
    ) -> None:
        """Delete mail and activities that no turn will take (their instance is gone or finished).

        What is not stored any more is ignored; raises LeaseLost. Contract: 2, 14.
        """
        ...

    # ---- records ---------------------------------------------------------------------------

    async def read_record(self, key: str) -> Record | None:
        """The record of this name, or None. Contract: 16, 22."""
        ...

    async def write_record(self, key: str, value: str, version: int) -> bool:
        """Store a record unless somebody else changed it. Contract: 9, 22.

        Args:
            key: Case matters. Hosts of one hub agree on it; start it with what it belongs to.
            value: Small: it is read and written as a whole.
            version: That of the record as it was read; 0 when there was none.

        Returns:
            False when the version was another, or another host holds the key: read again.

        Raises:
            StorageError: The value cannot be stored.
        """
        ...

    async def delete_record(self, key: str, version: int) -> bool:
        """Delete a record unless somebody else changed or holds it. Contract: 9, 22."""
        ...

    async def hold_record(self, key: str) -> bool:
        """Hold a key exclusively, for as long as this host lives. Contract: 23.

        Returns at once. True also when this host holds it already: holds do not count. Whoever is
        cancelled here may have got it and releases it.
        """
        ...

    async def release_record(self, key: str) -> None:
        """End our hold of a key; nothing happens when it is not ours. Contract: 23."""
        ...

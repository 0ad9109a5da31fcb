"""What the owner holds of one instance: its inbox and, while it is cheap to keep, its execution."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from func_py.durable.model import HistoryEvent, InstanceState
from func_py.durable.replay.decisions import Decision
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import TaskKey, Token, Turn

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ENTITY_BYTES = 2_000


class Item:
    """One event waiting for a turn, and what the turn must delete when it takes it.

    Exactly one of the three origins is set: `message_id` (mail), `task` (result of an activity of
    this host) or `timer` (task id of a timer that was due). `withheld`: the event is without its
    payload, which must be read before a turn takes it.
    """

    __slots__ = ("event", "execution_id", "message_id", "task", "timer", "withheld")

    def __init__(
        self,
        event: HistoryEvent,
        execution_id: str,
        *,
        message_id: str = "",
        task: TaskKey | None = None,
        timer: int | None = None,
        withheld: bool = False,
    ) -> None:
        self.event = event
        self.execution_id = execution_id
        self.message_id = message_id
        self.task = task
        self.timer = timer
        self.withheld = withheld


class Running(NamedTuple):
    """A turn on its way to the store."""

    slot: Slot
    items: Sequence[Item]
    turn: Turn


class Slot:
    """One instance of an owned partition.

    Invariants: while `busy` a turn is not yet committed (or a load is under way) and no other may
    start; `session` is None or has been fed exactly the committed history; `token` fences the next
    turn and is meaningless while `state` is None (not loaded).
    """

    __slots__ = (
        "busy",
        "extra",
        "failures",
        "generation",
        "inbox",
        "instance_id",
        "is_entity",
        "lacks_function",
        "last_time",
        "last_used",
        "opened",
        "parked",
        "problem",
        "queued",
        "seen",
        "session",
        "state",
        "token",
        "unanswered",
    )

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.is_entity = instance_id.startswith("@")
        self.inbox: list[Item] = []
        self.state: InstanceState | None = None
        self.token: Token = None
        self.session: Session | None = None
        self.extra: Sequence[Decision] = ()
        """Decisions that replay made and history does not hold: work the changed code added."""
        self.opened: Sequence[HistoryEvent] = ()
        """The stored beginning of a turn that has not been run: how a continued generation starts.
        """
        self.problem: Exception | None = None
        """Why the stored history cannot be replayed; the next turn fails the instance with it."""
        self.seen: set[str] = set()
        """Ids of the messages in history or inbox: a second delivery is dropped."""
        self.busy = False
        self.queued = False
        self.parked = False
        """Nothing could be stored for it, not even its failure; it waits for the next owner."""
        self.lacks_function = False
        """It is parked because only another host has its function."""
        self.failures = 0
        self.unanswered: Turn | None = None
        """A turn of which the store did not say whether it was committed."""
        self.generation = 0
        """Counts what invalidates work under way on this slot (replaced, dropped)."""
        self.last_time = EPOCH
        """Latest timestamp in history; the next turn's is not earlier."""
        self.last_used = EPOCH

    @property
    def is_worth_keeping(self) -> bool:
        """Is there anything that the next turn would have to load?"""
        return self.session is not None or (
            self.state is not None and self.state.entity is not None
        )

    @property
    def size(self) -> int:
        """Estimated bytes of what is worth keeping between turns; 0 when nothing is."""
        if self.session is not None:
            return self.session.size
        entity = None if self.state is None else self.state.entity
        return 0 if entity is None else _ENTITY_BYTES + len(entity.state or "")

    def whole_items(self) -> list[Item]:
        """What of the inbox a turn may take: the items before the first that lacks its payload."""
        for position, item in enumerate(self.inbox):
            if item.withheld:
                return self.inbox[:position]
        return self.inbox

    def end_session(self) -> None:
        """Let go of the live execution, if there is one."""
        if self.session is not None:
            self.session.close()
            self.session = None

    def forget(self) -> None:
        """Drop what was loaded, so that the next turn reads the store again. Keeps the inbox."""
        self.end_session()
        self.state = None
        self.token = None
        self.extra = ()
        self.opened = ()
        self.problem = None
        self.generation += 1

    def run(self, items: Sequence[Item], turn: Turn) -> Running:
        """A turn has been made; the slot is busy until the store has answered."""
        self.busy = True
        return Running(self, items, turn)

    def settle(self, state: InstanceState, token: Token) -> None:
        """The turn is stored: this is the record that it left."""
        self.busy = False
        self.failures = 0
        self.token = token
        self.state = state
        self.last_time = state.last_updated_at

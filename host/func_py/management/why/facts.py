"""What is known of an instance, and the reasons that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from func_py.durable.engine.live import LiveInstance
from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    RuntimeStatus,
)
from func_py.durable.storage.base import Whereabouts
from func_py.management.why.hosts import OtherHosts
from func_py.management.why.side_channel import HostAnswer

Kind = Literal[
    "activity",
    "blocked",
    "child",
    "elsewhere",
    "ended",
    "entity",
    "event",
    "fine",
    "function",
    "held",
    "host",
    "http",
    "lease",
    "limit",
    "locked",
    "name",
    "nothing",
    "operation",
    "store",
    "suspended",
    "timer",
    "turn",
]

_WRONG = frozenset({"host", "blocked", "function", "held", "store", "suspended", "name", "nothing"})


class Reason(msgspec.Struct, frozen=True):
    """One reason, in a word for programs and in words for people."""

    kind: Kind
    text: str
    """May have more lines than one, such as a stack."""

    @property
    def is_wrong(self) -> bool:
        """Does somebody have to do something about it?"""
        return self.kind in _WRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of an instance."""

    state: InstanceState
    events: Sequence[HistoryEvent]
    """The history of its current execution."""
    hosts: OtherHosts
    """Those of the hub that live."""
    answers: Sequence[HostAnswer]
    """Of those that could be asked."""
    replayed: LiveInstance | None = None
    """What a replay outside of a host has shown, if there was one."""
    whereabouts: Whereabouts
    """By the store."""
    children: Mapping[str, RuntimeStatus]
    """Instance ids of sub-orchestrations → their statuses, where they exist."""
    now: datetime

    @property
    def owner(self) -> HostAnswer | None:
        """The host that runs its turns, if that has said so."""
        found = [each for each in self.answers if each.seen is not None and each.seen.is_owner]
        return found[0] if found else None

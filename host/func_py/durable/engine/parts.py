"""What the partitions of one engine share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from func_py.clock import Clock
from func_py.durable.engine.activities import ActivityPool
from func_py.durable.engine.edit_check import Misfits
from func_py.durable.engine.entity_pool import EntityPool
from func_py.durable.engine.exchange import Exchange
from func_py.durable.engine.functions import FunctionTable
from func_py.durable.engine.heartbeat import Heartbeat
from func_py.durable.engine.options import EngineOptions
from func_py.durable.engine.outage import Outage
from func_py.durable.engine.payloads import Payloads
from func_py.durable.engine.poison import Poison
from func_py.durable.engine.sessions import SessionCache
from func_py.durable.engine.slot import Slot
from func_py.durable.engine.turn_limit import TurnLimit
from func_py.durable.model import InstanceState
from func_py.durable.storage.base import TaskHub

if TYPE_CHECKING:
    from func_py.durable.engine.partition import Partition


@dataclass(slots=True, kw_only=True)
class Parts:
    """Built by the engine, used by its partitions."""

    hub: TaskHub
    functions: FunctionTable
    clock: Clock
    options: EngineOptions
    pool: ActivityPool
    exchange: Exchange
    heartbeat: Heartbeat
    entities: EntityPool
    turns: TurnLimit
    replays: asyncio.Semaphore
    """Bounds the histories that are read at a time, each a page."""
    payloads: Payloads
    delivers_once: bool
    """The hub gives no message again that a turn took (Capability.TRANSACTIONS)."""
    poison: Poison
    sessions: SessionCache
    outage: Outage
    elsewhere: Callable[[str, str], Awaitable[bool]]
    """(kind, name): does another live host of the hub have this function?"""
    lost: Callable[[Partition, str], None]
    """The lease is gone, or memory and store disagree: acquire and recover again."""
    finished: Callable[[InstanceState], None]
    """An execution ended by its own code."""
    ended: Callable[[InstanceState], None]
    """An orchestration ended, in whatever way."""
    misfits: Misfits | None
    """Is told of instances that do not fit the code, which are held; None: they are failed."""
    turn: tuple[Slot, float] | None = None
    """Whose code has the event loop now, and since when by the loop's clock."""

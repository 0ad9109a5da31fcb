"""What a host knows of an instance beyond what is stored. Only reads; for people who ask why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from func_py.durable.engine.activities import LiveCall
from func_py.durable.engine.edit_check import is_misfit
from func_py.durable.engine.entities import LiveBatch
from func_py.durable.engine.entity_order import asked_of
from func_py.durable.engine.loader import closed_turns
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.slot import Slot
from func_py.durable.engine.versions import VersionFailure, version_problem
from func_py.durable.model import EntityState, HistoryEvent, InstanceState
from func_py.durable.replay.muting import muted
from func_py.durable.replay.session import Session
from func_py.durable.replay.waiting import Wait
from func_py.errors import StorageUnavailable

if TYPE_CHECKING:
    from func_py.durable.engine.partition import Partition

HoldKind = Literal["replay", "version", "missing", "parked"]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why an instance gets no turn, or would end with the next one."""

    kind: HoldKind
    text: str
    fails: bool
    """The next turn fails the instance with this; otherwise it is left for other code or hosts."""


class LiveInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as one host sees it."""

    is_owner: bool = False
    """This host runs its turns. Only then there is anything but calls."""
    calls: Sequence[LiveCall] = ()
    """Activity calls of the instance, of any execution."""
    full_activities: int = 0
    """maxConcurrentActivityFunctions, while that keeps calls waiting here; otherwise 0."""
    is_recovering: bool = False
    """What was stored when this host became the owner is still being read."""
    waits: Sequence[Wait] = ()
    """What the code waits for; empty when that is not known."""
    unawaited: Sequence[str] = ()
    """Names of events that came and that the code does not wait for, oldest first."""
    hold: Hold | None = None
    pending: int = 0
    """What has come for it and waits for its next turn."""
    is_busy: bool = False
    """A turn is on its way to the store, or it is being loaded."""
    full_orchestrators: int = 0
    """maxConcurrentOrchestratorFunctions, while that keeps its turn waiting; otherwise 0."""
    full_entities: int = 0
    """maxConcurrentEntityFunctions, while so many run; otherwise 0."""
    batch: LiveBatch | None = None
    """What the entity does now."""
    queued: Sequence[str] = ()
    """Operations that were asked of the entity and wait, oldest first."""
    is_store_away: bool = False
    """The task hub does not answer this host."""

    @property
    def has_operations(self) -> bool:
        """Was something asked of the entity that has not been done?"""
        return self.batch is not None or bool(self.queued)


_PARKED = Hold(
    kind="parked",
    text="nothing of it could be stored, not even its failure; the log says more",
    fails=False,
)


async def look(parts: Parts, partition: Partition | None, instance_id: str) -> LiveInstance:
    """What this host knows of an instance.

    Args:
        parts: Of the engine.
        partition: Where the instance is; None when another host owns that.
        instance_id: An orchestration or entity; need not exist.
    """
    pool = parts.pool
    seen = LiveInstance(
        calls=pool.calls_of(instance_id),
        full_activities=pool.limit if pool.is_full else 0,
        is_store_away=parts.outage.is_on,
    )
    if partition is None:
        return seen
    slot = partition.slot(instance_id) or Slot(instance_id)
    seen = replace(
        seen,
        is_owner=True,
        is_recovering=not partition.is_recovered,
        pending=len(slot.inbox),
        is_busy=slot.busy,
    )
    if slot.is_entity:
        entity = slot.state.entity if slot.state is not None else None
        return replace(
            seen,
            batch=partition.batch_of(instance_id),
            queued=asked_of(entity or EntityState(), slot.inbox),
            full_entities=parts.options.max_entities if parts.entities.is_full else 0,
            hold=_PARKED if slot.parked else None,
        )
    waits_for_room = bool(slot.inbox) and not slot.busy and not parts.turns.has_room
    seen = replace(
        seen, full_orchestrators=parts.options.max_orchestrators or 0 if waits_for_room else 0
    )
    if slot.session is not None:
        return _with_session(seen, slot, slot, parts)
    # By itself: what is in memory stays as it is.
    copy = Slot(instance_id)
    try:
        with muted():
            await partition.loader.load(copy, history=True)
    except StorageUnavailable:
        return replace(seen, is_store_away=True)
    except Exception as error:  # noqa: BLE001 - a damaged record is an answer, too
        text = f"it cannot be read: {type(error).__name__}: {error}"
        return replace(seen, hold=Hold(kind="parked", text=text, fails=False))
    try:
        return _with_session(seen, slot, copy, parts)
    finally:
        copy.forget()


def replayed(
    function: Callable[..., Any], instance_id: str, history: Sequence[HistoryEvent]
) -> LiveInstance:
    """What the code of an orchestration waits for, by its history alone; where no host says it.

    Args:
        function: Of the orchestrator, as the app registered it.
        instance_id: The instance.
        history: All of it.
    """
    session = Session(function, instance_id)
    try:
        with muted():
            session.feed(history[: closed_turns(history)], played=True)
        return LiveInstance(
            waits=session.waits(), unawaited=[event.name for event in session.unawaited()]
        )
    except Exception as error:  # noqa: BLE001 - why it cannot be replayed is the answer
        return LiveInstance(hold=Hold(kind="replay", text=str(error) or repr(error), fails=True))
    finally:
        session.close()


def _with_session(seen: LiveInstance, slot: Slot, loaded: Slot, parts: Parts) -> LiveInstance:
    session, state = loaded.session, loaded.state
    hold = None if state is None else _hold(slot, slot.problem or loaded.problem, state, parts)
    if session is None:
        return replace(seen, hold=hold)
    return replace(
        seen,
        hold=hold,
        waits=session.waits(),
        unawaited=[event.name for event in session.unawaited()],
    )


def _hold(slot: Slot, problem: Exception | None, state: InstanceState, parts: Parts) -> Hold | None:
    if state.status.is_terminal:
        return None
    options = parts.options
    version = version_problem(options.version_match, state.version, options.default_version)
    if version is not None:
        fails = options.version_failure is VersionFailure.FAIL
        return Hold(kind="version", text=version, fails=fails)
    if parts.functions.orchestrator(state.name) is None:
        missing = parts.functions.missing("orchestrator", state.name)
        return Hold(kind="missing", text=str(missing), fails=False)
    if problem is not None:
        is_kept = parts.misfits is not None and is_misfit(problem)
        return Hold(kind="replay", text=str(problem) or repr(problem), fails=not is_kept)
    return _PARKED if slot.parked else None

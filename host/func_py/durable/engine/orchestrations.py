"""Begins turns of orchestrations: what to run, what to wait for, what to give up on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from func_py.durable.engine.edit_check import is_misfit
from func_py.durable.engine.effects import refusal
from func_py.durable.engine.owner import Owner
from func_py.durable.engine.parts import Parts
from func_py.durable.engine.rewind import adopting_turn, rewinding_turn
from func_py.durable.engine.slot import Item, Running, Slot
from func_py.durable.engine.turns import (
    CHILD_EVENTS,
    execution_turn,
    failing_turn,
    open_children,
    terminating_turn,
    turn_time,
)
from func_py.durable.engine.versions import VersionFailure, version_problem
from func_py.durable.faults import reach
from func_py.durable.model import (
    ExecutionRewound,
    ExecutionStarted,
    ExecutionTerminated,
    FailureDetails,
    InstanceState,
    Message,
    RuntimeStatus,
)
from func_py.durable.replay.session import Session
from func_py.durable.storage.base import Turn
from func_py.durable.storage.histories import load_whole, whole_history
from func_py.errors import FuncPyError, StorageUnavailable, VersionMismatch

log = logging.getLogger("func_py.durable.engine")

_SLOW_TURN_S = 1.0

_TOO_MANY = (
    "Maximum amount of orchestration actions ({}) has been reached. This value can be configured "
    "in host.json file as MaxOrchestrationActions."
)
"""In the words of the official extension."""


class Orchestrations:
    """The processor of orchestration instances."""

    def __init__(self, owner: Owner, parts: Parts) -> None:
        self._owner = owner
        self._parts = parts

    def begin(self, slot: Slot) -> Running | None:
        """Start a turn; None when the instance must be loaded first or nothing is to be done."""
        kinds = {type(item.event) for item in slot.inbox}
        if ExecutionRewound in kinds:
            slot.busy = True
            self._owner.spawn(self._rewind(slot))
            return None
        state = slot.state
        terminating = ExecutionTerminated in kinds
        if state is None:
            self._owner.load(slot, history=not terminating)
            return None
        items = self._valid(slot, state)
        if not items:
            return None
        if terminating:
            if any(isinstance(i.event, ExecutionTerminated) and i.event.recursive for i in items):
                slot.busy = True
                self._owner.spawn(self._terminate_all(slot, state))
                return None
            slot.inbox = []
            time = turn_time(slot, items, self._parts.clock.now())
            return slot.run(items, terminating_turn(self._owner.lease, slot, state, items, time))
        if state.status is RuntimeStatus.PENDING and slot.session is None:
            # Without transactions, what is sent to a new instance may come before its start.
            if ExecutionStarted not in kinds:
                return None
            slot.inbox.sort(key=_behind_start)
        items = slot.whole_items()
        if not items:
            self._owner.fetch(slot, slot.inbox[:1])
            return None
        if slot.problem is not None:
            return None if self._is_held(slot, state) else self.quarantine(slot, slot.problem)
        poison = self._parts.poison
        if (problem := poison.turn_problem(slot.instance_id, state.execution_id)) is not None:
            return self.quarantine(slot, problem)
        if self._is_of_another_version(slot, state):
            return None
        if slot.session is None:
            orchestrator = self._parts.functions.orchestrator(state.name)
            if orchestrator is None:
                slot.busy = True
                self._owner.spawn(self._wait_or_fail(slot, state))
                return None
            if state.status is not RuntimeStatus.PENDING and not slot.opened:
                self._owner.load(slot, history=True)
                return None
            slot.session = Session(
                orchestrator.function, slot.instance_id, input_type=orchestrator.input_type
            )
        reach("turn.before_code")
        turn = self._run(slot, state, items)
        slot.inbox = slot.inbox[len(items) :]
        reach("turn.after_code")
        if turn is None:
            self._owner.discard(items)
            if slot.inbox:
                self._owner.enqueue(slot)
            return None
        return slot.run(items, turn)

    def _is_of_another_version(self, slot: Slot, state: InstanceState) -> bool:
        """Leave or fail an instance that this host must not run; True when it may not have a turn.

        Checked before every turn: after a deployment the same instance may fit.
        """
        options = self._parts.options
        problem = version_problem(options.version_match, state.version, options.default_version)
        if problem is None:
            return False
        if options.version_failure is VersionFailure.FAIL:
            slot.problem = VersionMismatch(problem)
            self._owner.enqueue(slot)
        else:
            # It stays with this partition; the host that gets it next may be of its version.
            log.warning("Instance '%s' waits for another host: %s", slot.instance_id, problem)
            slot.parked = True
        return True

    def _is_held(self, slot: Slot, state: InstanceState) -> bool:
        """Leave an instance that does not fit the code to the code that is saved next.

        One that has had no turn ran on no other code: whoever called it has misspelt its name.
        """
        misfits, problem = self._parts.misfits, slot.problem
        if misfits is None or state.status is RuntimeStatus.PENDING or not is_misfit(problem):
            return False
        misfits.tell(state, problem)
        slot.parked = True
        return True

    def _run(self, slot: Slot, state: InstanceState, items: Sequence[Item]) -> Turn | None:
        """Let the code see the items; tells when it held up everybody else."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._parts.turn = (slot, began)
        self._parts.poison.begin_turn(slot.instance_id, state.execution_id)
        try:
            time = turn_time(slot, items, self._parts.clock.now())
            options = self._parts.options
            version = options.default_version
            turn = execution_turn(
                self._owner.lease,
                slot,
                state,
                items,
                time,
                version,
                traced=options.traced,
                long_timers=self._parts.hub.long_timers,
            )
            most = options.max_actions
            if turn is not None and slot.session is not None and slot.session.actions > most:
                failure = FailureDetails(type="TooManyActions", message=_TOO_MANY.format(most))
                turn = failing_turn(self._owner.lease, slot, state, items, time, failure)
            if turn is not None and turn.state.failure is not None:
                failure = turn.state.failure
                log.error(
                    "Orchestrator '%s' (instance '%s') failed: %s",
                    state.name,
                    slot.instance_id,
                    failure.stack or failure.message,
                )
            return turn
        finally:
            self._parts.turn = None
            self._parts.poison.end_turn()
            took = loop.time() - began
            if took > _SLOW_TURN_S:
                log.warning(
                    "Orchestrator '%s' (instance '%s') blocked the host for %.1f s. Move the work "
                    "that waits or computes into an activity.",
                    state.name,
                    slot.instance_id,
                    took,
                )

    def _valid(self, slot: Slot, state: InstanceState) -> list[Item]:
        """The inbox without what can never be delivered; that is deleted from the store."""
        if state.status.is_terminal:
            stray, slot.inbox = slot.inbox, []
            self._owner.discard(stray)
            self._owner.forget(slot)
            return []
        current = state.execution_id
        stray = [i for i in slot.inbox if i.execution_id and i.execution_id != current]
        if stray:
            self._drop(slot, stray)
            slot.inbox = [i for i in slot.inbox if not i.execution_id or i.execution_id == current]
        return slot.inbox

    def _drop(self, slot: Slot, stray: Sequence[Item]) -> None:
        """Discard items; a parent whose child cannot start under a living id is told before."""
        problem = f"An Orchestration instance with the ID {slot.instance_id} already exists."
        now = self._parts.clock.now()
        answers = [
            refusal(event.parent, event.parent.task_id, problem, now)
            for event in (item.event for item in stray)
            if isinstance(event, ExecutionStarted) and event.parent is not None
        ]
        if answers:
            self._owner.spawn(self._answer_and_drop(answers, stray))
        else:
            self._owner.discard(stray)

    async def _answer_and_drop(self, answers: Sequence[Message], stray: Sequence[Item]) -> None:
        await self._parts.hub.send(answers)
        self._owner.discard(stray)

    async def _terminate_all(self, slot: Slot, state: InstanceState) -> None:
        """Terminate an instance with the children it has started and not heard of again."""
        children: Sequence[str] = ()
        try:
            events = await whole_history(self._parts.hub, slot.instance_id, *CHILD_EVENTS)
            children = open_children(events)
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("The children of instance '%s' cannot be told.", slot.instance_id)
        items, slot.inbox = slot.inbox, []
        time = turn_time(slot, items, self._parts.clock.now())
        turn = terminating_turn(self._owner.lease, slot, state, items, time, children)
        self._owner.submit(slot.run(items, turn))

    async def _rewind(self, slot: Slot) -> None:
        """Rewind a failed instance; a child that has not failed only learns whom to answer."""
        items = [i for i in slot.inbox if isinstance(i.event, ExecutionRewound)]
        slot.inbox = [i for i in slot.inbox if not isinstance(i.event, ExecutionRewound)]
        turn: Turn | None = None
        try:
            turn = await self._rewound(slot.instance_id, items[0])
        except StorageUnavailable:
            raise
        except Exception:
            # It would come back with every recovery of the partition.
            log.exception("Instance '%s' cannot be rewound; it stays failed.", slot.instance_id)
        slot.busy = False
        if turn is not None:
            self._owner.discard(items[1:])
            self._parts.sessions.dropped(slot)
            slot.forget()
            slot.state, slot.token = turn.state, turn.token
            self._owner.submit(slot.run(items[:1], turn))
            return
        self._owner.discard(items)
        if slot.inbox:
            self._owner.enqueue(slot)
        elif slot.session is None:
            self._owner.forget(slot)

    async def _rewound(self, instance_id: str, item: Item) -> Turn | None:
        """The turn that a request to rewind asks for, by what is stored now; None: nothing."""
        asked = item.event
        assert isinstance(asked, ExecutionRewound)
        loaded = await load_whole(self._parts.hub, instance_id)
        now = self._parts.clock.now()
        lease = self._owner.lease
        if loaded is None:
            if asked.parent is not None:
                problem = f"The sub-orchestration '{instance_id}' does not exist any more."
                answer = refusal(asked.parent, asked.parent.task_id, problem, now)
                await self._parts.hub.send([answer])
            return None
        state, token = loaded.state, loaded.token
        if state.status is RuntimeStatus.FAILED:
            time = max(now, state.last_updated_at)
            traced = self._parts.options.traced
            return rewinding_turn(
                lease, token, state, loaded.history, [item], asked, time, traced=traced
            )
        if asked.parent is not None:
            return adopting_turn(lease, token, state, [item], asked.parent, now)
        return None

    def quarantine(self, slot: Slot, error: Exception) -> Running | None:
        """Fail an instance that cannot be run, so that it takes nothing else down."""
        state = slot.state
        if state is None:
            log.error("Instance '%s' cannot be loaded: %s", slot.instance_id, error)
            slot.parked = True
            return None
        if not isinstance(error, FuncPyError):
            log.error(
                "Instance '%s' of '%s' broke the engine and is failed.",
                slot.instance_id,
                state.name,
                exc_info=error,
            )
        else:
            log.error("Instance '%s' of '%s': %s", slot.instance_id, state.name, error)
        if slot.session is not None:
            slot.end_session()
            self._parts.sessions.dropped(slot)
        items = slot.whole_items()
        slot.inbox = slot.inbox[len(items) :]
        kind = type(error).__name__ if isinstance(error, FuncPyError) else "InternalError"
        failure = FailureDetails(type=kind, message=str(error) or kind)
        time = turn_time(slot, items, self._parts.clock.now())
        turn = failing_turn(
            self._owner.lease, slot, state, items, time, failure, keep_events=not slot.failures
        )
        return slot.run(items, turn)

    async def _wait_or_fail(self, slot: Slot, state: InstanceState) -> None:
        """The orchestrator is not registered here: another host may have it."""
        generation = slot.generation
        error = self._parts.functions.missing("orchestrator", state.name)
        elsewhere = await self._parts.elsewhere("orchestrator", state.name)
        slot.busy = False
        if slot.generation != generation:
            self._owner.enqueue(slot)
        elif elsewhere:
            # It stays with this partition; the host that gets it next may have the function.
            log.warning("Instance '%s' waits for another host: %s", slot.instance_id, error)
            slot.parked = slot.lacks_function = True
        else:
            slot.problem = error
            self._owner.enqueue(slot)

    def refused(self, slot: Slot, detail: str) -> None:
        """The store will not take a turn's values: fail the instance without them."""
        slot.failures += 1
        if slot.failures > 1:
            log.error(
                "Instance '%s' is parked: not even its failure can be stored (%s).",
                slot.instance_id,
                detail,
            )
            slot.parked = True
            return
        slot.busy = True
        self._owner.spawn(self._fail_refused(slot, detail))

    async def _fail_refused(self, slot: Slot, detail: str) -> None:
        generation = slot.generation
        loaded = await self._parts.hub.load(slot.instance_id, history=False)
        slot.busy = False
        if loaded is None:
            return
        if slot.generation == generation:
            slot.state, slot.token = loaded.state, loaded.token
            slot.problem = FuncPyError(f"the task hub refused the result of a turn: {detail}")
        self._owner.enqueue(slot)


def _behind_start(item: Item) -> bool:
    return not isinstance(item.event, ExecutionStarted)

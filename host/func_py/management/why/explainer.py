"""Gathers what is known of an instance, from the store and from the hosts of this machine."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from func_py.clock import Clock
from func_py.durable.client import DurableClient
from func_py.durable.engine.entity_turns import new_entity
from func_py.durable.engine.live import Hold, LiveInstance, replayed
from func_py.durable.model import (
    HistoryEvent,
    InstanceState,
    SubOrchestrationCreated,
    split_entity_id,
)
from func_py.durable.storage.base import TaskHub
from func_py.management.projection import JsonObject, seconds
from func_py.management.why.entity_reasons import entity_reasons
from func_py.management.why.facts import Facts, Reason
from func_py.management.why.hosts import OtherHosts
from func_py.management.why.reasons import reasons
from func_py.management.why.side_channel import HostAnswer, ask_hosts
from func_py.management.why.waits import unanswered
from func_py.management.why.words import span

_MOST_CHILDREN = 100
"""More than are shown; of a wide fan-out not all need to be read."""

Look = Callable[[str], Awaitable[LiveInstance]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an instance has not ended."""

    state: InstanceState
    title: str
    """What it is and how it is, in one line."""
    reasons: list[Reason]

    def as_json(self) -> JsonObject:
        """The same for programs."""
        return {
            "instanceId": self.state.instance_id,
            "name": self.state.name,
            "runtimeStatus": self.state.status.value,
            "createdTime": seconds(self.state.created_at),
            "lastUpdatedTime": seconds(self.state.last_updated_at),
            "needsAttention": any(reason.is_wrong for reason in self.reasons),
            "reasons": [{"kind": reason.kind, "text": reason.text} for reason in self.reasons],
        }


class Explainer:
    """Explains the instances of one open hub. It changes nothing.

    Args:
        client: Of the hub.
        hub: The hub.
        directory: Of the sockets of the hub's hosts on this machine.
        clock: The time.
    """

    def __init__(self, client: DurableClient, hub: TaskHub, directory: Path, clock: Clock) -> None:
        self._client = client
        self._hub = hub
        self._directory = directory
        self._clock = clock
        self._own: tuple[str, Look] | None = None

    def answer_for(self, host_id: str, look: Look) -> None:
        """From now on, ask this host of our own process directly."""
        self._own = host_id, look

    async def explain(
        self, instance_id: str, app: Mapping[str, Callable[..., Any]] | None = None
    ) -> Explanation | None:
        """Why an instance has not ended, or what an entity does.

        Args:
            instance_id: The instance.
            app: Orchestrators by their names in lower case, to replay the instance where no host
                says what its code waits for.

        Returns:
            None when the instance does not exist.
        """
        is_entity = split_entity_id(instance_id) is not None
        state = await self._client.get(instance_id)
        if state is None and not is_entity:
            return None
        answers: list[HostAnswer] = []
        hosts = await self._hub.hosts()
        if state is None or state.entity is not None or not state.status.is_terminal:
            answers = await self._ask(instance_id, [host.host_id for host in hosts])
            # What they said is newer than what was read: read again, as of now.
            state = await self._client.get(instance_id) or state
        if state is None or (state.entity is not None and state.entity.is_empty):
            if not any(answer.seen and answer.seen.has_operations for answer in answers):
                return None
            # The first operation is under way.
            state = state or new_entity(instance_id, "", self._clock.now())
        whereabouts = await self._hub.whereabouts(instance_id)
        is_read = state.entity is None and not state.status.is_terminal
        events = await self._client.history(instance_id) if is_read else []
        children = {}
        started = [e for e in unanswered(events) if isinstance(e, SubOrchestrationCreated)]
        for asked in started[:_MOST_CHILDREN]:
            child = await self._client.get(asked.instance_id)
            if child is not None:
                children[asked.instance_id] = child.status
        gone = {answer.host_id for answer in answers if answer.is_gone}
        now = self._clock.now()
        facts = Facts(
            state=state,
            events=events,
            hosts=OtherHosts(host for host in hosts if host.host_id not in gone),
            answers=answers,
            replayed=_replayed(state, events, app) if app is not None and events else None,
            whereabouts=whereabouts,
            children=children,
            now=now,
        )
        found = reasons(facts) if state.entity is None else entity_reasons(facts)
        return Explanation(state=state, title=_title(state, now), reasons=found)

    async def _ask(self, instance_id: str, hosts: list[str]) -> list[HostAnswer]:
        own: list[HostAnswer] = []
        if self._own is not None:
            host_id, look = self._own
            own = [HostAnswer(host_id=host_id, process=os.getpid(), seen=await look(instance_id))]
            hosts = [other for other in hosts if other != host_id]
        return own + await ask_hosts(self._directory, instance_id, hosts)


def _replayed(
    state: InstanceState, events: Sequence[HistoryEvent], app: Mapping[str, Callable[..., Any]]
) -> LiveInstance:
    function = app.get(state.name.lower())
    if function is None:
        text = f"the app has no orchestrator '{state.name}'"
        return LiveInstance(hold=Hold(kind="missing", text=text, fails=False))
    return replayed(function, state.instance_id, events)


def _title(state: InstanceState, now: datetime) -> str:
    if state.entity is not None:
        return f"Entity '{state.instance_id}'"
    title = f"Orchestration '{state.name}', instance '{state.instance_id}': {state.status}"
    return f"{title}, started {span(now - state.created_at)} ago"

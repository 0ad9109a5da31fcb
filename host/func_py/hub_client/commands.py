"""What people ask of a task hub on the command line, with the answers in words or JSON.

The texts are those of `func durable`, where it has the command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from func_py.clock import Clock, wait_until
from func_py.durable.client import DurableClient, EntityQuery
from func_py.durable.model import InstanceState, RuntimeStatus, new_id
from func_py.durable.storage.base import HubInfo, InstanceQuery
from func_py.errors import DurableError, InstanceNotFinished, InstanceNotFound, UserError
from func_py.management.projection import (
    JsonObject,
    entity_object,
    seconds,
    shown,
    shown_history,
    status_object,
)
from func_py.management.why import Explainer, Explanation, OtherHosts


class Voice(Protocol):
    """Where lines of text for people go."""

    def tell(self, text: str) -> None:
        """What has happened."""
        ...

    def remark(self, text: str) -> None:
        """What to know besides."""
        ...


_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""No instance is older."""

_PATIENCE = timedelta(seconds=30)
_POLL_INTERVAL = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which instances. `statuses` in any case of letters, none for all; times are inclusive."""

    created_after: datetime | None = None
    created_before: datetime | None = None
    statuses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """JSON values, and the token for the next ones; empty on the last page."""

    items: list[JsonObject]
    continuation: str


class HubCommands:
    """The commands of one open hub.

    Each raises UserError when it cannot be carried out; then nothing has changed.
    """

    def __init__(
        self,
        client: DurableClient,
        info: HubInfo,
        others: OtherHosts,
        clock: Clock,
        voice: Voice,
        explainer: Explainer,
    ) -> None:
        self._client = client
        self._info = info
        self._others = others
        self._clock = clock
        self._explainer = explainer
        self._tell = voice.tell
        self._remark = voice.remark

    # ---- orchestrations --------------------------------------------------------------------

    async def start(
        self, name: str, instance_id: str, input: str | None, version: str | None = None
    ) -> None:
        """Start an orchestration.

        Args:
            name: The orchestrator.
            instance_id: Its id; a random one when empty.
            input: JSON text.
            version: Of the instance; that of host.json when None.
        """
        instance_id = instance_id or new_id()
        try:
            await self._client.start(
                name, instance_id=instance_id, input=_stored(input), version=version
            )
        except DurableError as error:
            raise UserError(f"Could not start new instance '{instance_id}'. {error}") from error
        created = seconds(self._clock.now())
        self._tell(f"Started '{name}' at {created}. Instance ID: '{instance_id}'.")
        self._remark_if_alone()

    async def why(
        self, instance_id: str, app: Mapping[str, Callable[..., Any]] | None = None
    ) -> Explanation:
        """Why an orchestration has not ended, or what an entity does; `app` as in `Explainer`."""
        explanation = await self._explainer.explain(instance_id, app)
        if explanation is None:
            raise _not_found(instance_id)
        return explanation

    async def status(self, instance_id: str, *, show_input: bool, show_output: bool) -> JsonObject:
        """One instance, as the management API shows it."""
        status = status_object(await self._find(instance_id))
        for key, is_shown in (("input", show_input), ("output", show_output)):
            if not is_shown:
                del status[key]
        return status

    async def history(self, instance_id: str) -> list[JsonObject]:
        """The history, as the management API shows it, with inputs and outputs."""
        await self._find(instance_id)
        return await shown_history(self._client, instance_id, show_input=True, show_output=True)

    async def instances(self, selection: Selection, top: int, continuation: str) -> Page:
        """One page of at most `top` orchestrations, by creation time."""
        page = await self._client.query(
            InstanceQuery(
                created_from=selection.created_after,
                created_to=selection.created_before,
                statuses=_statuses(selection.statuses),
                page_size=top,
                continuation=continuation,
            )
        )
        return Page([status_object(state) for state in page.items], page.continuation)

    async def raise_event(self, instance_id: str, name: str, data: str | None) -> None:
        """Send an external event; `data` is JSON text."""
        await self._find_unfinished(instance_id, "No event was raised.")
        name = name or f"Event_{new_id()}"
        await self._client.raise_event(instance_id, name, data)
        self._tell(f"Raised event '{name}' to instance '{instance_id}'.")
        self._remark_if_alone()

    async def terminate(self, instance_id: str, reason: str, *, recursive: bool = False) -> None:
        """End an orchestration, and wait for that while a host runs.

        Recursive: the sub-orchestrations that it started end, too; they are not waited for.
        """
        await self._find_unfinished(instance_id, "No instance was terminated.")
        await self._client.terminate(instance_id, reason, recursive=recursive)
        sent = f"Sent a termination message to instance '{instance_id}'."
        if not self._others.are_running:
            self._tell(sent)
            return self._remark_if_alone()
        self._tell(
            f"{sent} Waiting up to {_PATIENCE.seconds} seconds for the orchestration to actually "
            "terminate..."
        )
        state = await self._wait(instance_id, lambda s: s.status.is_terminal)
        if state is None or not state.status.is_terminal:
            raise UserError("Instance did not terminate within the given timeout.")
        if state.status is not RuntimeStatus.TERMINATED:
            raise UserError(f"Instance '{instance_id}' was {state.status.value} before.")
        self._tell(f"Successfully terminated '{instance_id}'")

    async def suspend(self, instance_id: str, reason: str) -> None:
        """Hold an orchestration until it is resumed."""
        await self._find_unfinished(instance_id, "No instance was suspended.")
        await self._client.suspend(instance_id, reason)
        self._tell(f"Sent a suspension message to instance '{instance_id}'.")
        self._remark_if_alone()

    async def resume(self, instance_id: str, reason: str) -> None:
        """Let a suspended orchestration go on."""
        await self._find_unfinished(instance_id, "No instance was resumed.")
        await self._client.resume(instance_id, reason)
        self._tell(f"Sent a message to resume instance '{instance_id}'.")
        self._remark_if_alone()

    async def rewind(self, instance_id: str, reason: str) -> None:
        """Let a failed orchestration try again what failed, and wait a while for that to begin."""
        before = await self._find(instance_id)
        if before.status is not RuntimeStatus.FAILED:
            raise UserError(
                "Orchestration instance not rewound. Must have a status of 'Failed', found "
                f"'{before.status.value}'."
            )
        await self._client.rewind(instance_id, reason)
        sent = f"Rewind message sent to instance '{instance_id}'."
        if not self._others.are_running:
            self._tell(sent)
            return self._remark_if_alone()
        self._tell(f"{sent} Retrieving new status now...")
        after = await self._wait(instance_id, lambda s: s.last_updated_at != before.last_updated_at)
        self._tell(f"Status before rewind: {before.status.value}")
        self._tell(f"Status after rewind: {after.status.value if after else 'purged'}")

    async def restart(self, instance_id: str, *, new_instance_id: bool) -> None:
        """Start the same orchestration with the same input again, by default under a new id."""
        try:
            started = await self._client.restart(instance_id, new_instance_id=new_instance_id)
        except InstanceNotFound as error:
            raise _not_found(instance_id) from error
        except DurableError as error:
            raise UserError(f"Could not restart instance '{instance_id}'. {error}") from error
        self._tell(f"Restarted instance '{instance_id}'. Instance ID: '{started}'.")
        self._remark_if_alone()

    # ---- entities --------------------------------------------------------------------------

    async def entities(self, name: str, top: int, continuation: str, *, show_state: bool) -> Page:
        """One page of at most `top` entities; an empty name is any."""
        page = await self._client.query_entities(
            EntityQuery(name=name, page_size=top, continuation=continuation)
        )
        items = [entity_object(state, with_state=show_state) for state in page.items]
        return Page(items, page.continuation)

    async def entity(self, name: str, key: str) -> Any:
        """The state of an entity, a JSON value."""
        entity = await self._client.read_entity(name, key)
        if entity is None:
            raise UserError(f"Could not find an entity '{name}' with key '{key}'.")
        return shown(entity.state)

    async def signal_entity(self, name: str, key: str, operation: str, input: str | None) -> None:
        """Ask an entity for an operation, one way; `input` is JSON text."""
        try:
            await self._client.signal_entity(name, key, operation, _stored(input))
        except DurableError as error:
            raise UserError(f"Could not signal entity '{name}'. {error}") from error
        self._tell(f"Signaled operation '{operation}' to entity '{name}' with key '{key}'.")
        self._remark_if_alone()

    # ---- the hub ---------------------------------------------------------------------------

    async def purge(self, instance_id: str, *, recursive: bool = False) -> None:
        """Delete one finished instance; recursive: and the sub-orchestrations it started."""
        state = await self._find(instance_id)
        if not state.status.is_terminal and state.entity is None:
            error = InstanceNotFinished(instance_id, state.status.value)
            raise UserError(f"{error} No instance was purged.")
        if recursive:
            count = await self._client.purge_with_children(instance_id)
        else:
            count = await self._client.purge(instance_id)
        self._tell(f"Instances deleted: {count:d}")

    async def purge_all(self, selection: Selection) -> None:
        """Delete the finished instances of the selection."""
        statuses = _statuses(selection.statuses)
        since = selection.created_after or _BEGINNING
        until = selection.created_before or self._clock.now()
        count = await self._client.purge_all(since, until, statuses)
        names = ", ".join(sorted(status.value for status in statuses))
        among = f" and whose runtime status matched one of the following: [{names}]"
        self._tell(
            "Purged orchestration history for all instances created between "
            f"'{seconds(since)}' and '{seconds(until)}'{among if names else ''}"
        )
        self._tell(f"Instances deleted: {count}")

    # ---- inside ----------------------------------------------------------------------------

    async def _find(self, instance_id: str) -> InstanceState:
        state = await self._client.get(instance_id)
        if state is None or (state.entity is not None and not state.entity.exists):
            raise _not_found(instance_id)
        return state

    async def _find_unfinished(self, instance_id: str, consequence: str) -> None:
        state = await self._client.get(instance_id)
        if state is None:
            raise UserError(f"Failed to find instance '{instance_id}'. {consequence}")
        if state.entity is not None:
            raise UserError(f"'{instance_id}' is an entity. {consequence}")
        if state.status.is_terminal:
            raise UserError(f"Instance '{instance_id}' is {state.status.value}. {consequence}")

    async def _wait(
        self, instance_id: str, is_reached: Callable[[InstanceState], bool]
    ) -> InstanceState | None:
        """The instance once it is as wished, or as it is when patience has ended."""
        deadline = self._clock.now() + _PATIENCE
        while True:
            state = await self._client.get(instance_id)
            now = self._clock.now()
            if state is None or is_reached(state) or now >= deadline:
                return state
            await wait_until(self._clock, now + _POLL_INTERVAL)

    def _remark_if_alone(self) -> None:
        if not self._others.are_running:
            self._remark(
                f"No host runs on the task hub '{self._info.name}': the next one takes it up."
            )


def _not_found(instance_id: str) -> UserError:
    return UserError(f"Could not find an orchestration instance with id '{instance_id}'")


def _statuses(names: Sequence[str]) -> frozenset[RuntimeStatus]:
    known = {status.value.lower(): status for status in RuntimeStatus}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        listed = ", ".join(status.value for status in RuntimeStatus)
        raise UserError(f"'{unknown[0]}' is not a runtime status. Known are: {listed}.")
    return frozenset(known[name.lower()] for name in names)


def _stored(text: str | None) -> str | None:
    """JSON text as clients send it: a string twice, as one that holds JSON is opened once."""
    return json.dumps(text) if text is not None and text.lstrip().startswith('"') else text

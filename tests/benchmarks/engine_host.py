"""The engine as `func-py start` puts it together, in this process and without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from benchmarks.workloads import SAMPLE_APP
from func_py.config.host_json import load_host_config
from func_py.durable.model import InstanceState, RuntimeStatus, entity_id, new_id
from func_py.durable.storage.base import Committed, Lost, TaskHub, Turn
from func_py.invocation import Invoker
from func_py.logs import Logs, LogSettings
from func_py.management import BASE_PATH, DurableApi, LocalTransport
from func_py.runtime.durable import durable_hub
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.durable_client import InProcessDurableClient, client_payload

_ORIGIN = "http://127.0.0.1"


class _Watched:
    """A task hub that tells when the turns of watched instances are durable."""

    def __init__(self, hub: TaskHub) -> None:
        self._hub = hub
        self._ends: dict[str, asyncio.Future[InstanceState]] = {}
        self._turns: dict[str, asyncio.Future[InstanceState]] = {}

    @property
    def is_overdue(self) -> bool:
        return self._hub.is_overdue  # asked too often for the way around below

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def commit(self, turns: Sequence[Turn]) -> Awaitable[Sequence[Committed | Lost]]:
        if not self._turns and not any(turn.state.status.is_terminal for turn in turns):
            return self._hub.commit(turns)  # of no interest to anybody
        commit = asyncio.ensure_future(self._hub.commit(turns))
        commit.add_done_callback(lambda commit: self._tell_of(turns, commit))
        return commit

    def _tell_of(
        self, turns: Sequence[Turn], commit: asyncio.Future[Sequence[Committed | Lost]]
    ) -> None:
        if commit.cancelled() or commit.exception() is not None:
            return
        for turn, outcome in zip(turns, commit.result(), strict=True):
            if isinstance(outcome, Committed):
                state = turn.state
                self._tell(self._turns, state)
                if state.status.is_terminal:
                    self._tell(self._ends, state)

    def end(self, instance_id: str) -> asyncio.Future[InstanceState]:
        """Done when the instance has ended."""
        return self._ends.setdefault(instance_id, asyncio.get_running_loop().create_future())

    def turn(self, instance_id: str) -> asyncio.Future[InstanceState]:
        """Done when its next turn is durable."""
        return self._turns.setdefault(instance_id, asyncio.get_running_loop().create_future())

    @staticmethod
    def _tell(
        waiting: dict[str, asyncio.Future[InstanceState]],
        state: InstanceState,
    ) -> None:
        future = waiting.pop(state.instance_id, None)
        if future is not None and not future.done():
            future.set_result(state)


class EngineHost(AbstractAsyncContextManager["EngineHost"]):
    """The sample app's engine and client, its state and its log in `folder`.

    Wired by the host's own composition, as in development: verification replay is on. `settings`
    are further app settings; they may lead to another task hub.
    """

    def __init__(
        self, folder: Path, specs: Sequence[FunctionSpec], settings: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._specs = specs
        self._settings = {"FUNC_PY_STATE_DIR": str(folder), **(settings or {})}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> EngineHost:
        async with AsyncExitStack() as stack:
            logs = Logs(LogSettings(file=self._folder / "host.log"))
            stack.callback(logs.close)
            config = load_host_config(SAMPLE_APP, self._settings)
            durable = await stack.enter_async_context(
                durable_hub(config, self._specs, base_url=_ORIGIN, development=True)
            )
            invoker = Invoker(logs, inputs=durable.inputs)
            stack.callback(invoker.close)
            logs.install(invoker.current)
            self._watched = _Watched(durable.hub)
            # What it does not define itself, it passes on to the hub.
            watched = replace(durable, hub=cast("TaskHub", self._watched))
            await stack.enter_async_context(watched.running(self._specs, invoker, 5.0))
            self.client = durable.client
            api = DurableApi(durable.client, durable.explainer, durable.info.name)
            url = f"{_ORIGIN}{BASE_PATH}"
            self.sdk_client = InProcessDurableClient(
                client_payload(durable.info.name, url, url, ""),
                LocalTransport(api, f"{url}/", _ORIGIN),
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def entity_reached(self, name: str, key: str, text: str) -> None:
        """Wait until an entity's state has this JSON text."""
        while True:
            turn = self._watched.turn(entity_id(name, key))
            entity = await self.client.read_entity(name, key)
            if entity is not None and entity.state == text:
                return
            await turn

    async def status_reached(self, instance_id: str, text: str) -> None:
        """Wait until an instance's custom status has this JSON text."""
        while True:
            turn = self._watched.turn(instance_id)
            state = await self.client.get(instance_id)
            if state is not None and state.custom_status == text:
                return
            await turn

    async def run(self, orchestrator: str, input: str | None) -> InstanceState:
        """Start one instance and wait for its end, as a client does.

        Raises:
            RuntimeError: It did not complete.
        """
        instance_id = new_id()
        end = self._watched.end(instance_id)
        await self.client.start(orchestrator, instance_id=instance_id, input=input)
        return _completed(await end)

    async def start_waiting(self, orchestrator: str) -> str:
        """Start an instance and wait until its first turn is durable; returns its id."""
        instance_id = new_id()
        turn = self._watched.turn(instance_id)
        await self.client.start(orchestrator, instance_id=instance_id)
        await turn
        return instance_id

    async def raise_and_wait(self, instance_id: str, event: str) -> InstanceState:
        """Raise an event and wait for the end of the instance."""
        end = self._watched.end(instance_id)
        await self.client.raise_event(instance_id, event, "null")
        return _completed(await end)


def _completed(state: InstanceState) -> InstanceState:
    if state.status is not RuntimeStatus.COMPLETED:
        raise RuntimeError(f"{state.name} {state.instance_id} {state.status}: {state.output}")
    return state

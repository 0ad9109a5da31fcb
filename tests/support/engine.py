"""A task hub with its engine and client in one process, for tests of the engine."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import azure.durable_functions as df
import msgspec
from support.apps import RecordedLog, functions

from func_py.clock import Clock, RealClock
from func_py.durable.client import DurableClient
from func_py.durable.engine import (
    Engine,
    EngineOptions,
    FunctionTable,
    Misfits,
    OrchestratorFunction,
)
from func_py.durable.engine.http_activity import HttpActivity
from func_py.durable.model import (
    ActivityResult,
    ActivityTask,
    FailureDetails,
    InstanceState,
    RuntimeStatus,
    new_id,
)
from func_py.durable.storage.base import HostRecord, TaskHub
from func_py.errors import FunctionNotRegistered
from func_py.invocation import EntityCalls, Invoker
from func_py.management.why import Explainer
from func_py.runtime.looking import looking
from func_py_bindings.contract import FunctionSpec

DEADLINE_S = 20.0

T = TypeVar("T")


async def until(read: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Poll until `read` gives something true; fails with `what` after the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while loop.time() < deadline:
        if value := await read():
            return value
        await asyncio.sleep(0.001)
    raise AssertionError(f"waited {DEADLINE_S:g} s in vain: {what}")


class Activities:
    """Activity functions by name: plain callables on decoded JSON, sync or async."""

    def __init__(self, functions: Mapping[str, Callable[[Any], Any]]) -> None:
        self.functions = dict(functions)
        self.calls: list[ActivityTask] = []
        self.keeps_calls = True

    async def run(self, task: ActivityTask) -> ActivityResult:
        """See `ActivityRunner.run`."""
        if task.name not in self.functions:
            raise FunctionNotRegistered("activity", task.name, sorted(self.functions))
        if self.keeps_calls:
            self.calls.append(task)
        try:
            value = self.functions[task.name](msgspec.json.decode(task.input or "null"))
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:  # noqa: BLE001 - what user code raises is data
            details = FailureDetails(
                type=type(error).__name__, message=str(error), stack=traceback.format_exc()
            )
            return ActivityResult(failure=details)
        return ActivityResult(result=msgspec.json.encode(value).decode())

    def thread_limit(self, name: str) -> int:
        """See `ActivityRunner.thread_limit`."""
        return 0


def _entity_specs(entities: Mapping[str, Callable[[Any], None]]) -> Sequence[FunctionSpec]:
    app = df.DFApp()
    for name, function in entities.items():
        declare = app.entity_trigger(context_name="context", entity_name=name)
        app.function_name(name)(declare(function))
    return list(functions(app).values()) if entities else []


class Host(AbstractAsyncContextManager["Host"]):
    """One host on a hub: opened and started on entry, stopped and closed on exit."""

    def __init__(
        self,
        hub: TaskHub,
        orchestrators: Mapping[str, Callable[..., Any]],
        activities: Mapping[str, Callable[[Any], Any]] | None = None,
        *,
        entities: Mapping[str, Callable[[Any], None]] | None = None,
        clock: Clock | None = None,
        options: EngineOptions | None = None,
        misfits: Misfits | None = None,
        sockets_dir: Path = Path("nowhere"),
        hand_dir: Path | None = None,
    ) -> None:
        self.hub = hub
        self.clock: Clock = clock or RealClock()
        self.options = options or EngineOptions()
        self.misfits = misfits
        self.activities = Activities(activities or {})
        self.functions = FunctionTable(
            {
                name: OrchestratorFunction(name=name, function=df.Orchestrator.create(function))
                for name, function in orchestrators.items()
            },
            self.activities.functions,
            entities or (),
        )
        self.http = HttpActivity(self.activities, self.clock, timedelta(seconds=30))
        self.invocations = RecordedLog()
        self.invoker = Invoker(self.invocations)
        self.entities = EntityCalls(_entity_specs(entities or {}), self.invoker)
        self.host_id = new_id()
        self.sockets_dir = sockets_dir
        self.hand_dir = hand_dir

    async def __aenter__(self) -> Host:
        await self.hub.create_hub()
        info = await self.hub.open(HostRecord(host_id=self.host_id, started_at=self.clock.now()))
        self.engine = Engine(
            self.hub,
            info,
            self.functions,
            self.http,
            self.clock,
            self.options,
            self.host_id,
            entities=self.entities,
            hand_dir=self.hand_dir,
            misfits=self.misfits,
        )
        self.client = DurableClient(
            self.hub,
            self.clock,
            missing=lambda name: (
                None
                if self.functions.orchestrator(name)
                else self.functions.missing("orchestrator", name)
            ),
            missing_entity=lambda name: (
                None if self.functions.has_entity(name) else self.functions.missing("entity", name)
            ),
        )
        self.explainer = Explainer(self.client, self.hub, self.sockets_dir, self.clock)
        await self.engine.start()
        self.explainer.answer_for(self.host_id, looking(self.engine, self.invoker))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.engine.stop(5.0)
        await self.http.close()
        await self.hub.close()

    async def wait_for(self, instance_id: str, *statuses: RuntimeStatus) -> InstanceState:
        """Wait until the instance has one of the statuses (default: any terminal one)."""

        async def reached() -> InstanceState | None:
            state = await self.client.get(instance_id)
            if state is None:
                return None
            wanted = state.status in statuses if statuses else state.status.is_terminal
            return state if wanted else None

        return await until(reached, f"instance {instance_id} to reach {statuses or 'an end'}")

    async def run(self, name: str, value: Any = None) -> InstanceState:
        """Start an orchestration and wait for its end."""
        text = None if value is None else msgspec.json.encode(value).decode()
        instance_id = await self.client.start(name, input=text)
        return await self.wait_for(instance_id)

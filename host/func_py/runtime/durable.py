"""Wires the durable part of a host: task hub, client, management API, engine.

An app without durable functions gets none of it: no file is made, no module of it imported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from func_py.clock import Clock, RealClock
from func_py.config.settings import HostConfig
from func_py.durable.client import DurableClient
from func_py.durable.engine import (
    EditCheck,
    Engine,
    EngineOptions,
    FunctionTable,
    Misfits,
    OrchestratorFunction,
    VersionFailure,
    VersionMatch,
)
from func_py.durable.engine.http_activity import HttpActivity
from func_py.durable.model import InstanceState, new_id
from func_py.durable.moving import refuse_unfinished
from func_py.durable.storage.base import HostRecord, HubInfo, TaskHub
from func_py.errors import FunctionNotRegistered
from func_py.hub_client import (
    MOST_COUNTED,
    configured_client,
    configured_hub,
    count_unfinished,
    hand_dir,
    sockets_dir,
)
from func_py.invocation import ActivityCalls, EntityCalls, Invoker
from func_py.management import BASE_PATH, DurableApi, DurableWebhook, LocalTransport
from func_py.management.why import Explainer
from func_py.management.why.side_channel import SideChannel
from func_py.runtime.looking import looking
from func_py.web import Mount
from func_py_bindings.contract import FunctionSpec, InputSource
from func_py_bindings.durable_client import DurableClientInput, client_payload
from func_py_bindings.durable_function import by_name, durable_functions

WEBHOOK_KEY = "durabletask_extension"
"""The system key that opens the management API."""

_RPC_PATH = "/runtime/durabletask-rpc"
_CLIENT_TYPES = ("durableclient", "orchestrationclient")
_TRIGGERS = ("orchestrationtrigger", "activitytrigger", "entitytrigger")


def uses_durable(functions: Iterable[FunctionSpec]) -> bool:
    """Does the app have a durable function, or a function with a durable client?"""
    return any(
        binding.type.lower() in (*_TRIGGERS, *_CLIENT_TYPES)
        for function in functions
        for binding in function.bindings
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """The durable part of a running host, before its engine runs."""

    hub: TaskHub
    info: HubInfo
    host_id: str
    hand_dir: Path
    functions: FunctionTable
    client: DurableClient
    explainer: Explainer
    sockets_dir: Path
    """Where it asks the other hosts of this machine, and they us."""
    clock: Clock
    options: EngineOptions
    misfits: Misfits | None
    """Is told of live instances that do not fit the code; None: they fail."""
    poll_interval: timedelta
    """Between polls of durable HTTP calls."""
    inputs: Mapping[str, InputSource]
    """For the invoker: the durable client inputs."""
    webhook: Mount
    """The management API for the outside."""
    rpc: Mount | None
    """The same at a path that only clients in this process are told; None: `webhook` does."""
    facts: Sequence[str]
    """For the start-up print."""

    @asynccontextmanager
    async def checking_live(self, limit_s: float) -> AsyncIterator[EditCheck | None]:
        """Check the live instances on this code, for so long before it is entered and beside it.

        Only where misfits are held: elsewhere nothing would come of it.
        """
        if self.misfits is None:
            yield None
            return
        check = EditCheck(self.hub, self.functions, self.clock, self.misfits)
        try:
            await check.begin(limit_s)
            yield check
        finally:
            await check.close()

    @asynccontextmanager
    async def running(
        self,
        functions: Sequence[FunctionSpec],
        invoker: Invoker,
        grace_s: float,
        ended: Callable[[InstanceState], None] | None = None,
    ) -> AsyncIterator[Engine]:
        """Run the engine while entered; on the way out activities get `grace_s` seconds.

        `ended`: records the span of an orchestration that ended; None: none is traced.
        """
        calls = HttpActivity(ActivityCalls(functions, invoker), self.clock, self.poll_interval)
        engine = Engine(
            self.hub,
            self.info,
            self.functions,
            calls,
            self.clock,
            replace(self.options, traced=ended is not None),
            self.host_id,
            hand_dir=self.hand_dir,
            ended=ended,
            misfits=self.misfits,
            entities=EntityCalls(functions, invoker),
        )
        await engine.start()
        look = looking(engine, invoker)
        self.explainer.answer_for(self.host_id, look)
        channel = SideChannel(self.sockets_dir, self.host_id, look, lambda: engine.turn)
        channel.open()
        try:
            yield engine
        finally:
            channel.close()
            try:
                await engine.stop(grace_s)
            finally:
                await calls.close()


@asynccontextmanager
async def durable_hub(
    config: HostConfig,
    functions: Sequence[FunctionSpec],
    *,
    base_url: str,
    development: bool,
    code: str = "",
    rpc_secret: str = "",
    holds_misfits: bool = False,
    clock: Clock | None = None,
) -> AsyncIterator[Durable]:
    """Open the app's task hub while entered, creating it when it does not exist.

    Args:
        config: The host's configuration.
        functions: All functions of the host.
        base_url: `scheme://authority` of the host, for links that no request asked for.
        code: The system key that links carry; empty for none.
        rpc_secret: Of the path that clients in this process call, which show no key; when empty
            they call the webhook, which then must ask for none.
        development: Verify finished orchestrations by replaying them.
        holds_misfits: Keep live instances that do not fit the code for other code.
        clock: Time of the engine; the real one when None.

    Raises:
        ConfigError: The configured provider cannot be used.
        SchemaMismatch: The hub was written by another version.
        StorageUnavailable: The store does not answer.
    """
    clock = clock or RealClock()
    hub = configured_hub(config)
    table = function_table(functions)
    host_id = new_id()
    await hub.create_hub()
    # Without functions, until its engine runs: the others share nothing with it before.
    info = await hub.open(HostRecord(host_id=host_id, started_at=clock.now()))
    try:
        await refuse_unfinished(hub, info)
        client = configured_client(
            config,
            hub,
            clock,
            missing=lambda name: _missing(table, name),
            missing_entity=lambda name: (
                None if table.has_entity(name) else table.missing("entity", name)
            ),
        )
        explainer = Explainer(client, hub, sockets_dir(config), clock)
        api = DurableApi(client, explainer, info.name, code=code)
        webhook = f"{base_url}{BASE_PATH}"
        rpc_path = f"{_RPC_PATH}/{rpc_secret}" if rpc_secret else BASE_PATH
        payload = client_payload(info.name, webhook, f"{base_url}{rpc_path}", code)
        clients = DurableClientInput(
            info.name, payload, LocalTransport(api, f"{base_url}{rpc_path}/", base_url)
        )
        yield Durable(
            hub=hub,
            info=info,
            host_id=host_id,
            hand_dir=hand_dir(config),
            functions=table,
            client=client,
            explainer=explainer,
            sockets_dir=sockets_dir(config),
            clock=clock,
            options=_options(config, development),
            misfits=Misfits() if holds_misfits else None,
            poll_interval=timedelta(
                milliseconds=config.durable.http_settings.default_async_request_sleep_time_milliseconds
            ),
            inputs=dict.fromkeys(_CLIENT_TYPES, clients),
            webhook=Mount(BASE_PATH, DurableWebhook(api)),
            rpc=Mount(rpc_path, DurableWebhook(api, rpc_path)) if rpc_secret else None,
            facts=[
                f"Task hub: {info.name} ({info.provider}, {info.location})",
                *_resuming(await count_unfinished(hub)),
            ],
        )
    finally:
        await hub.close()


def _resuming(unfinished: int) -> list[str]:
    """A line about what an earlier host has left; `func-py start --fresh` would delete it."""
    if not unfinished:
        return []
    count = f"{unfinished} or more" if unfinished >= MOST_COUNTED else str(unfinished)
    return [f"Unfinished orchestrations that go on: {count}"]


def function_table(functions: Sequence[FunctionSpec]) -> FunctionTable:
    """The durable functions of an app as the engine looks them up."""
    orchestrators = {
        alias: OrchestratorFunction(name=durable.name, function=durable.spec.function)
        for alias, durable in by_name(durable_functions(functions, "orchestrator")).items()
    }
    activities = by_name(durable_functions(functions, "activity"))
    entities = by_name(durable_functions(functions, "entity"))
    return FunctionTable(orchestrators, activities, entities)


def _missing(table: FunctionTable, name: str) -> FunctionNotRegistered | None:
    return None if table.orchestrator(name) else table.missing("orchestrator", name)


def _options(config: HostConfig, development: bool) -> EngineOptions:
    defaults = EngineOptions()
    durable = config.durable
    return EngineOptions(
        max_activities=durable.max_concurrent_activity_functions or defaults.max_activities,
        max_orchestrators=durable.max_concurrent_orchestrator_functions,
        max_entities=durable.max_concurrent_entity_functions or defaults.max_entities,
        max_entity_batch=durable.max_entity_operation_batch_size or defaults.max_entity_batch,
        max_actions=durable.max_orchestration_actions or defaults.max_actions,
        session_idle=timedelta(seconds=durable.extended_session_idle_timeout_in_seconds),
        default_version=durable.default_version or None,
        version_match=VersionMatch(durable.version_match_strategy),
        version_failure=VersionFailure(durable.version_failure_strategy),
        verify=development,
    )

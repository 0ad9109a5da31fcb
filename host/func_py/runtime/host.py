"""The composition root: one app, loaded and, once it is told to take over, served.

A child that is to replace another one loads beside it. Until it takes over it accepts, owns and
listens to nothing, so what it finds wrong harms nobody.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from func_py.config.host_json import load_host_config
from func_py.config.local_settings import is_development
from func_py.config.provider_choice import EMBEDDED
from func_py.config.settings import HostConfig
from func_py.durable.replay import is_muted
from func_py.invocation import Invoker
from func_py.logs import Logs, LogSettings
from func_py.runtime.access import access_of, disabled_functions, host_facts, key_notices
from func_py.runtime.apology import apologizing
from func_py.runtime.around import code_wrappers, tell_extensions
from func_py.runtime.durable import WEBHOOK_KEY, durable_hub, uses_durable
from func_py.runtime.hand_over import Host
from func_py.runtime.http_rules import cors_policy, decorators, wrappers
from func_py.runtime.loading import (
    import_storage,
    lint_functions,
    load_functions,
    unknown_names,
)
from func_py.runtime.production import state_notices
from func_py.runtime.storage_use import storage_of, uses_storage
from func_py.runtime.telemetry import TelemetrySetup
from func_py.runtime.timers import Warmup, timer_calls, timers_running
from func_py.supervisor.protocol import ChildSpec, FunctionLine, Loaded, Ready, WatchRules
from func_py.timers.listener import has_timer
from func_py.web import HttpFrontEnd, Mount
from func_py.web.admin import PREFIX, AdminApi
from func_py.web.admin_calls import AdminCalls, activity_calls, http_calls
from func_py.web.drain import Drain
from func_py.web.front_end import DEFAULT_BODY_LIMIT
from func_py.web.keys_api import KeysApi
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.http import endpoint_of

_LINGER_S = 0.5
"""How long a stopping host waits for a last request on connections that are kept alive."""
_CHECK_S = 0.1
"""How long live instances may keep new code from serving while they are checked on it."""

_KEYS_FACT = "Function keys are asked for; `func-py keys list` shows them"


@asynccontextmanager
async def loading(spec: ChildSpec, *, restart: Callable[[], None]) -> AsyncIterator[Host]:
    """Load the app of `spec`; once told to, serve it until the context is left.

    Everything is entered in the order of dependence and left in the reverse: first no more
    requests, then no more work, then no more log.

    Args:
        spec: What the supervisor says.
        restart: Leaves the context some time later; the supervisor replaces a process that ends.

    Raises:
        UserError: The configuration or the app cannot be used.
    """
    if spec.apology:
        async with apologizing(spec.apology) as host:
            yield host
        return
    environ = spec.environ
    config = load_host_config(spec.app_root, environ)
    drain_s = config.func_py.drain_timeout.total_seconds()
    async with AsyncExitStack() as stack:
        logs = Logs(_log_settings(config, spec))
        stack.callback(logs.close)
        invoker = Invoker(
            logs,
            thread_count=_thread_count(environ, logs),
            timeout=config.function_timeout,
            around=code_wrappers(environ),
        )
        stack.callback(invoker.close)
        # Before the app is imported: what it logs then is for the log, too.
        logs.install(invoker.current, is_muted)

        import_storage(config)
        tracing = TelemetrySetup(config, environ)
        loaded = load_functions(spec.app_root, environ)
        telemetry = tracing.begin()
        if telemetry is not None:
            stack.callback(telemetry.close)
            invoker.add_around(telemetry.around)
        tell_extensions(loaded, environ)
        functions, unknown = _selected(loaded, spec.functions or config.functions)
        disabled = disabled_functions(functions, environ)
        enabled = [f for f in functions if f.name.lower() not in disabled]
        development = is_development(environ)
        access = access_of(config, functions, environ, enforced=spec.enable_auth or not development)

        has_engine = uses_durable(functions)
        has_timers = any(has_timer(function) for function in enabled)
        durable = None
        if has_engine or has_timers:
            durable = await stack.enter_async_context(
                durable_hub(
                    config,
                    enabled,
                    base_url=spec.base_url,
                    development=development,
                    code=access.system_key(WEBHOOK_KEY),
                    rpc_secret=access.secret_of("durabletask-rpc"),
                    holds_misfits=spec.reloads,
                )
            )
            invoker.add_inputs(durable.inputs)
        is_embedded = durable is not None and durable.info.provider == EMBEDDED
        storage = None
        if uses_storage(functions):
            storage = storage_of(config, functions, development=development)
            stack.push_async_callback(storage.close)
            invoker.add_services(storage.fetchers, storage.writers)
        if spec.announces:
            findings = lint_functions(loaded) if development else []
            for warning in (
                *config.warnings,
                *tracing.warnings,
                *unknown,
                *key_notices(access, environ),
                *state_notices(config, environ, embedded=is_embedded),
                *(finding.text for finding in findings),
            ):
                logs.announce(warning, logging.WARNING)
            for function in functions:
                if function.problem:
                    problem = f"The '{function.name}' function is in error: {function.problem}"
                    logs.announce(problem, logging.ERROR)

        cors = cors_policy(spec)
        calls = AdminCalls(
            functions,
            {
                "httptrigger": http_calls(invoker),
                "activitytrigger": activity_calls(invoker),
                "timertrigger": timer_calls(invoker),
                **(storage.calls(invoker) if storage is not None else {}),
            },
            logs,
        )
        drain = Drain(lambda: invoker.running)
        facts = host_facts(config, environ, disabled)
        keys = KeysApi(access.store)
        admin = AdminApi(functions, facts, calls, keys, access.is_admin, drain, restart)
        mounts = [Warmup(enabled, invoker).mount(), Mount(PREFIX, admin)]
        if durable is not None and has_engine:
            mounts.append(access.webhook(durable.webhook, WEBHOOK_KEY))
            mounts += [durable.rpc] if durable.rpc is not None else []
        if storage is not None:
            mounts += [access.webhook(*webhook) for webhook in storage.webhooks(enabled)]
        front_end = HttpFrontEnd(
            functions,
            invoker,
            route_prefix=config.http.route_prefix,
            mounts=mounts,
            authorizer=access.authorizer,
            disabled=disabled,
            wrappers=wrappers(config.http, cors),
            decorators=decorators(config.http, cors),
            development=development,
            home_page=environ.get("AzureWebJobsDisableHomepage", "").lower() != "true",
            body_limit=_number(environ, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or DEFAULT_BODY_LIMIT,
            linger_s=0.0 if development else _LINGER_S,
        )
        # What the app does at its start may fail, too.
        stack.push_async_callback(front_end.stop, 0)
        await front_end.prepare()
        check = None
        if durable is not None and has_engine and spec.announces:
            check = await stack.enter_async_context(durable.checking_live(_CHECK_S))

        async def take_over(listener: socket.socket) -> Ready:
            # Requests first: recovering partitions takes a while.
            await front_end.start(listener)
            if durable is not None and has_engine:
                ended = telemetry.ended if telemetry is not None else None
                engine = await stack.enter_async_context(
                    durable.running(enabled, invoker, drain_s, ended)
                )
                drain.add(lambda: engine.stop(drain_s))
                host.hand_over_steps.append(engine.hand_over)
                host.cut_steps.append(lambda: engine.stop(0))
            if durable is not None and has_timers:
                timers = await stack.enter_async_context(
                    timers_running(
                        enabled,
                        invoker,
                        logs,
                        durable.hub,
                        durable.clock,
                        environ=environ,
                        retry=config.retry,
                        grace_s=drain_s,
                    )
                )
                drain.add(timers.stop)
                host.hand_over_steps.append(timers.hand_over)
                host.cut_steps.append(timers.cut)
            if storage is not None:
                stop = await stack.enter_async_context(
                    storage.listening(enabled, invoker, logs, drain_s)
                )
                drain.add(lambda: stop(drain_s))
                host.hand_over_steps.append(lambda: host.begin(stop(drain_s)))
                host.cut_steps.append(lambda: stop(0))
            stack.push_async_callback(drain.close)
            stack.push_async_callback(calls.stop, drain_s)
            stack.push_async_callback(front_end.stop, drain_s)
            return Ready(
                functions=tuple(
                    _line(f, spec.base_url, config.http.route_prefix, disabled) for f in functions
                ),
                facts=(
                    *(durable.facts if durable is not None else ()),
                    *((_KEYS_FACT,) if access.guard is not None else ()),
                    f"Logs: {_log_places(config)}",
                    f"Listening on {spec.base_url}",
                ),
            )

        host = Host(
            loaded=Loaded(drain_s=drain_s, watch=_watch_rules(config)),
            take_over=take_over,
            front_end=front_end,
            invoker=invoker,
            hand_over_steps=[check.close] if check is not None else [],
            cut_steps=[lambda: calls.stop(0), lambda: front_end.stop(0)],
        )
        yield host


def _watch_rules(config: HostConfig) -> WatchRules:
    return WatchRules(
        is_enabled=config.file_watching_enabled,
        directories=config.watch_directories,
        files=config.watch_files,
    )


def _selected(
    functions: Sequence[FunctionSpec], names: Sequence[str]
) -> tuple[Sequence[FunctionSpec], list[str]]:
    """The functions that a list of names allows, and a warning for each name that is none's.

    An empty list allows all.
    """
    if not names:
        return functions, []
    allowed = {name.casefold() for name in names}
    chosen = [f for f in functions if f.name.casefold() in allowed]
    return chosen, unknown_names(functions, names)


def _log_settings(config: HostConfig, spec: ChildSpec) -> LogSettings:
    console = config.logging.console
    levels = config.logging.log_level
    if spec.user_log_level and "function" not in {category.casefold() for category in levels}:
        levels = {**levels, "Function": spec.user_log_level}
    return LogSettings(
        console=sys.stdout if console.is_enabled else None,
        file=config.root / config.func_py.log_file if config.func_py.log_file else None,
        levels=levels,
        verbose=spec.verbose,
        debug=spec.environ.get("PYTHON_ENABLE_DEBUG_LOGGING") == "1",
        colors=False if console.disable_colors else None,
        as_json=not is_development(spec.environ) and not sys.stdout.isatty(),
    )


def _log_places(config: HostConfig) -> str:
    file = config.func_py.log_file
    places = ["this terminal"] if config.logging.console.is_enabled else []
    if file:
        places.append(str(config.root / file))
    return " and ".join(places) or "nowhere"


def _thread_count(environ: Mapping[str, str], logs: Logs) -> int | None:
    name = "PYTHON_THREADPOOL_THREAD_COUNT"
    count = _number(environ, name)
    if count is None and environ.get(name):
        logs.announce(f"{name} must be a positive number: it is ignored.", logging.WARNING)
    return count


def _number(environ: Mapping[str, str], name: str) -> int | None:
    """A positive number from the environment, or None."""
    text = environ.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _line(
    function: FunctionSpec, base_url: str, prefix: str, disabled: Collection[str]
) -> FunctionLine:
    endpoint = endpoint_of(function)
    is_disabled = function.name.lower() in disabled
    if endpoint is None:
        return FunctionLine(
            name=function.name,
            trigger=function.trigger.type or "in error",
            is_disabled=is_disabled,
        )
    path = "/".join(part for part in (prefix.strip("/"), endpoint.route) if part)
    return FunctionLine(
        name=function.name,
        trigger=function.trigger.type,
        methods=tuple(sorted(endpoint.methods)),
        url=f"{base_url}/{path}",
        is_disabled=is_disabled,
    )

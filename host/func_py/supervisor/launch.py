"""From what the command line says to a running supervisor."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from func_py.config.app_settings import find_connection, find_setting
from func_py.config.local_settings import (
    LocalSettings,
    app_environment,
    is_development,
    is_production,
    settings_for,
)
from func_py.errors import UserError
from func_py.supervisor.child import Child
from func_py.supervisor.fork_server import ForkServer
from func_py.supervisor.listener import base_url, open_listener
from func_py.supervisor.protocol import ChildSpec
from func_py.supervisor.supervisor import STOP_SIGNALS, Supervisor
from func_py.supervisor.terminal import own_terminal
from func_py.supervisor.watcher import watching
from func_py.supervisor.worker import HAND_OVER_S, Announcer, Role

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 7071
MOST_WORKERS = 10

_ANYWHERE = "0.0.0.0"
_URL = re.compile(r"http://(?P<host>\[[^\]]+\]|[^:/]+)(?::(?P<port>\d+))?/?", re.IGNORECASE)
_WORKER_COUNT = "FUNCTIONS_WORKER_PROCESS_COUNT"
_ENTRY = "func_py.runtime.main:run"
_PRELOAD = ("func_py.runtime.main",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """The command line; None or empty where it leaves the choice to the settings."""

    app_root: Path | None = None
    port: int | None = None
    address: str | None = None
    verbose: bool = False
    enable_auth: bool = False
    functions: tuple[str, ...] = ()
    user_log_level: str = ""
    cors: tuple[str, ...] = ()
    cors_credentials: bool = False
    added_settings: Mapping[str, str] = field(default_factory=dict)
    """App settings that are had where nothing else gives them."""
    reload: bool | None = None
    """Reload the app when its files change; None: in Development."""
    debugpy: int | None = None
    """Port where editors attach to the app."""
    workers: int | None = None
    """How many processes serve the app; None: what FUNCTIONS_WORKER_PROCESS_COUNT says."""


def launch(options: LaunchOptions, announcer: Announcer) -> int:
    """Serve the app until stopped; returns the exit code for the process.

    Main thread only. The stop signals are ignored afterwards: the process is about to end.

    Raises:
        UserError: The app root, local.settings.json, address or port cannot be used.
    """
    given = options.app_root or Path(find_setting("AzureWebJobsScriptRoot", os.environ) or ".")
    root = given.resolve()
    if not root.is_dir():
        raise UserError(f'"{given}" doesn\'t exist, or is not a folder.')
    if options.debugpy and find_spec("debugpy") is None:
        raise UserError(
            "--debugpy needs the package debugpy in this environment: "
            f"{sys.executable} -m pip install debugpy"
        )
    settings = settings_for(root, os.environ)
    address, port = listening_place(options, settings, os.environ)
    listener = open_listener(address, port)
    url = base_url(listener)
    port = listener.getsockname()[1]
    server = ForkServer(_ENTRY, _PRELOAD)
    environ, notices = app_environment(settings, os.environ, root, port)
    for notice in (*notices, *exposure_notice(address, options.enable_auth, environ)):
        announcer.say(notice)

    reloads = is_development(environ) if options.reload is None else options.reload

    def start_child(role: Role) -> Child:
        # Read again: each child sees the settings of today. One that apologises needs none, and
        # they may be what it apologises for.
        today = LocalSettings() if role.apology else settings_for(root, os.environ)
        environ, _ = app_environment(today, os.environ, root, port)
        spec = ChildSpec(
            app_root=root,
            environ=with_added(environ, options.added_settings),
            base_url=url,
            verbose=options.verbose,
            enable_auth=options.enable_auth,
            functions=options.functions,
            user_log_level=options.user_log_level,
            cors=options.cors or today.cors,
            cors_credentials=options.cors_credentials or today.cors_credentials,
            reloads=reloads,
            terminal=terminal if role.has_terminal else "",
            announces=role.has_terminal,
            is_alone=role.is_alone,
            debugpy_port=options.debugpy or 0 if role.has_terminal else 0,
            apology=role.apology,
        )
        return server.start_child(spec, listener)

    with ExitStack() as stack:
        stack.enter_context(listener)
        terminal = stack.enter_context(own_terminal())
        changes = stack.enter_context(watching(root, announcer)) if reloads else None
        for number in STOP_SIGNALS:
            # The supervisor listens to them, and puts back this: a Ctrl+C too many, while the
            # process is ending, is no reason for a traceback.
            signal.signal(number, signal.SIG_IGN)
        supervisor = Supervisor(
            start_child,
            listener,
            announcer,
            changes=changes,
            count=options.workers or worker_count(environ),
            # An editor may have stopped it, of which it cannot tell.
            patience_s=None if options.debugpy else HAND_OVER_S,
        )
        return supervisor.run()


def worker_count(environ: Mapping[str, str]) -> int:
    """How many processes the environment asks for.

    Raises:
        UserError: It says no number from 1 to 10.
    """
    text = environ.get(_WORKER_COUNT, "") or "1"
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise UserError(
            f"{_WORKER_COUNT}: expected a number from 1 to {MOST_WORKERS}, found '{text}'."
        )
    return int(text)


def exposure_notice(address: str, enable_auth: bool, environ: Mapping[str, str]) -> list[str]:
    """A warning when others can reach a host that asks nobody for a key."""
    is_open = not enable_auth and is_development(environ)
    if not is_open or ipaddress.ip_address(address).is_loopback:
        return []
    problem = f"Whoever reaches {address} may call every function and the admin API without a key."
    return [f"{problem} Ask for keys with --enable-auth."]


def with_added(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """An environment, and of the added settings those that it does not have."""
    missing = {k: v for k, v in added.items() if not find_connection(k, environ)}
    return {**environ, **missing}


def listening_place(
    options: LaunchOptions, settings: LocalSettings, environ: Mapping[str, str]
) -> tuple[str, int]:
    """Where to listen: the command line, else local settings, else what containers are told."""
    container_address, container_port = _container_place(environ)
    usual = _ANYWHERE if is_production(environ) else DEFAULT_ADDRESS
    address = options.address or settings.address or container_address or usual
    ports = (options.port, settings.port, container_port, DEFAULT_PORT)
    return address, next(port for port in ports if port is not None)


def _container_place(environ: Mapping[str, str]) -> tuple[str, int | None]:
    """Address and port of `ASPNETCORE_URLS`, which images of the official host set, or `PORT`."""
    urls = environ.get("ASPNETCORE_URLS", "")
    if urls:
        matches = [_URL.fullmatch(url.strip()) for url in urls.split(";")]
        match = next((found for found in matches if found), None)
        if match is None:
            raise UserError(f"ASPNETCORE_URLS: expected a URL such as http://*:8080, found {urls}.")
        host = match["host"].strip("[]")
        address = {"*": _ANYWHERE, "+": _ANYWHERE, "localhost": DEFAULT_ADDRESS}.get(host, host)
        return address, int(match["port"] or 80)
    text = environ.get("PORT", "")
    return "", int(text) if text.isdecimal() else None

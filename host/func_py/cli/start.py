"""`func-py start`: serve an app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from func_py.azurite import CONNECTION, SETTING
from func_py.cli.azurite import azurite_beside
from func_py.cli.console import console_for
from func_py.config.app_settings import find_setting
from func_py.config.local_settings import split_origins
from func_py.errors import UserError
from func_py.supervisor.launch import (
    DEFAULT_ADDRESS,
    DEFAULT_PORT,
    MOST_WORKERS,
    LaunchOptions,
    launch,
)

_LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")

_DEBUGPY = re.compile(r"-m debugpy\b.*--listen (?:[^\s:]+:)?(?P<port>\d{1,5})\b")
"""How editors have Core Tools start a worker that they can attach to."""


class _StartCommand(click.Command):
    """Takes `--functions A B C`, as Core Tools does, besides one name for each `--functions`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        names = iter(args)
        in_list = False
        for argument in names:
            if argument.startswith("-") or not in_list:
                in_list = argument == "--functions"
                if not in_list:
                    spread.append(argument)
            else:
                spread += ["--functions", argument]
        return super().parse_args(ctx, spread)


@click.command("start", cls=_StartCommand)
@click.argument("app_root", required=False, type=click.Path(path_type=Path))
@click.option(
    "--script-root",
    "--prefix",
    type=click.Path(path_type=Path),
    help="The same as APP_ROOT, as Core Tools spells it.",
)
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    help=f"Port to listen on; 0 takes a free one. [default: Host.LocalHttpPort or {DEFAULT_PORT}]",
)
@click.option(
    "--address",
    help=f"IP address to listen on. [default: Host.LocalHttpAddress or {DEFAULT_ADDRESS}; "
    "all addresses in production]",
)
@click.option(
    "--functions", multiple=True, metavar="NAME...", help="Load these functions, and no others."
)
@click.option(
    "--cors",
    default="",
    metavar="ORIGINS",
    help="Web pages that may call the host: origins with commas between, or *. "
    "[default: Host.CORS]",
)
@click.option(
    "--cors-credentials",
    is_flag=True,
    help="Let those pages send cookies and authorization. [default: Host.CORSCredentials]",
)
@click.option(
    "--reload/--no-reload",
    default=None,
    help="Load the app anew when its files change. "
    "[default: where AZURE_FUNCTIONS_ENVIRONMENT is Development]",
)
@click.option(
    "--debugpy",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Let editors attach to the app on this port of 127.0.0.1; needs the package debugpy.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    help="Processes that serve the app. [default: FUNCTIONS_WORKER_PROCESS_COUNT or 1]",
)
@click.option("--enable-auth", "--enableAuth", is_flag=True, help="Ask for function keys.")
@click.option("--fresh", is_flag=True, help="Delete the task hub with all it holds, then start.")
@click.option("--verbose", is_flag=True, help="Log what the host does, too.")
@click.option(
    "--user-log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    envvar="FUNCTIONS_USER_LOG_LEVEL",
    help="What functions log from this level on. [default: that of host.json, or Information]",
)
@click.option(
    "--with-azurite",
    is_flag=True,
    help="Run Azurite, too, unless one runs; where the app has no storage, it gets that.",
)
@click.option("--runtime", default="default", hidden=True)
@click.option("--timeout", "-t", type=int, expose_value=False, hidden=True)
@click.option("--json-output-file", expose_value=False, hidden=True)
@click.option(
    "--language-worker", default="", envvar="languageWorkers__python__arguments", hidden=True
)
@click.option("--debug", is_flag=True, expose_value=False, hidden=True)
@click.option("--dotnet-isolated-debug", is_flag=True, expose_value=False, hidden=True)
@click.option("--enable-json-output", is_flag=True, expose_value=False, hidden=True)
@click.option("--no-build", is_flag=True, expose_value=False, hidden=True)
@click.option("--offline", is_flag=True, expose_value=False, hidden=True)
@click.option("--pause-on-error", is_flag=True, expose_value=False, hidden=True)
@click.option("--python", is_flag=True, expose_value=False, hidden=True)
def start_command(
    app_root: Path | None,
    script_root: Path | None,
    port: int | None,
    address: str | None,
    functions: tuple[str, ...],
    cors: str,
    cors_credentials: bool,
    reload: bool | None,
    debugpy: int | None,
    workers: int | None,
    enable_auth: bool,
    fresh: bool,
    verbose: bool,
    user_log_level: str | None,
    with_azurite: bool,
    runtime: str,
    language_worker: str,
) -> None:
    """Serve the function app in APP_ROOT (default: the current directory).

    If APP_ROOT holds no app but a folder `function_apps`, every app in it is served together.
    Options of Core Tools that mean nothing here are accepted.
    """
    if runtime != "default":
        raise UserError(
            f"The runtime argument value provided, '{runtime}', is invalid. "
            "For Python apps, the value must be 'default'."
        )
    console = console_for(os.environ)
    asked = _DEBUGPY.search(language_worker)
    if asked:
        debugpy = debugpy or int(asked["port"])
    elif language_worker:
        console.say("--language-worker has no effect: the app runs without a worker process.")
    options = LaunchOptions(
        app_root=app_root or script_root,
        port=port,
        address=address,
        verbose=verbose,
        enable_auth=enable_auth,
        functions=functions,
        user_log_level=user_log_level or "",
        cors=split_origins(cors),
        cors_credentials=cors_credentials,
        reload=reload,
        debugpy=debugpy,
        workers=workers,
    )
    if not with_azurite:
        if fresh:
            _delete_hub(options.app_root, {})
        sys.exit(launch(options, console))
    with azurite_beside(options.app_root or Path(), console):
        options = replace(options, added_settings={SETTING: CONNECTION})
        if fresh:
            _delete_hub(options.app_root, {SETTING: CONNECTION})
        exit_code = launch(options, console)
    sys.exit(exit_code)


def _delete_hub(app_root: Path | None, settings: Mapping[str, str]) -> None:
    """Delete the task hub, in a process of its own: only that one loads the storage provider."""
    root = app_root or Path(find_setting("AzureWebJobsScriptRoot", os.environ) or ".")
    command = [sys.executable, "-P", "-m", "func_py", "hub", "delete", "--yes", "--missing-ok"]
    # The right exit code and the reason are that command's.
    done = subprocess.run(
        [*command, "--app-root", str(root)],
        env={**settings, **os.environ},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)

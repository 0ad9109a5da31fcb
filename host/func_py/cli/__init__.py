"""The `func-py` command: parse, print, exit."""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import click

from func_py import __version__
from func_py.cli.console import Console
from func_py.supervisor.exits import BUG_NOTICE, EXIT_INTERNAL_ERROR, exit_code_of


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: `start` is to be small and quick.

    Args:
        lazy: Name of a command → where it is, `module:attribute` below this package.
        settings: click's own.
    """

    def __init__(self, *, lazy: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, for the help."""
        return sorted([*self._lazy, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = pkgutil.resolve_name(f"{__name__}.{place}")
        return command


_START = {"start": "start:start_command"}
_NEW = {"new": "new:new_command"}


@click.group(
    cls=LazyGroup,
    lazy={
        **_START,
        **_NEW,
        "azurite": "azurite:azurite_command",
        "check": "check:check_command",
        "init": "init:init_command",
        "keys": "keys:keys_group",
        "pack": "pack:pack_command",
        "why": "why:why_command",
        "durable": "durable:durable_group",
        "hub": "hub:hub_group",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "--version", "-v", message="%(version)s")
def commands() -> None:
    """Run Azure Functions and Durable Functions apps with Python alone."""


@commands.group(cls=LazyGroup, lazy=_START, hidden=True)
def host() -> None:
    """The same as the commands outside; Core Tools has both spellings."""


@commands.group(cls=LazyGroup, lazy={**_NEW, "create": _NEW["new"]}, hidden=True)
def function() -> None:
    """The same as the commands outside; Core Tools has both spellings."""


def main() -> None:
    """Entry point of the console script; always ends the process."""
    if os.getpid() == 1:
        # Process 1 of a container is not stopped by what it does not handle.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    console = Console()
    try:
        commands(prog_name="func-py")
    except Exception as exc:  # noqa: BLE001 - the outermost edge
        exit_code = exit_code_of(exc)
        if exit_code == EXIT_INTERNAL_ERROR:
            traceback.print_exc()
        console.complain(BUG_NOTICE if exit_code == EXIT_INTERNAL_ERROR else str(exc))
        sys.exit(exit_code)

"""The `func-py` command: parse, print, exit."""

from __future__ import annotations

import sys
import traceback

import click

from func_py import __version__
from func_py.cli.console import Console
from func_py.cli.init import init_command
from func_py.cli.keys import keys_group
from func_py.cli.new import new_command
from func_py.cli.start import start_command
from func_py.supervisor.exits import BUG_NOTICE, EXIT_INTERNAL_ERROR, exit_code_of


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-v", message="%(version)s")
def commands() -> None:
    """Run Azure Functions and Durable Functions apps with Python alone."""


@commands.group(hidden=True)
def function() -> None:
    """The same as the commands outside; Core Tools has both spellings."""


@commands.group(hidden=True)
def host() -> None:
    """The same as the commands outside; Core Tools has both spellings."""


for command in (start_command, init_command, new_command, keys_group):
    commands.add_command(command)
host.add_command(start_command)
for name in ("new", "create"):
    function.add_command(new_command, name)


def main() -> None:
    """Entry point of the console script; always ends the process."""
    console = Console()
    try:
        commands(prog_name="func-py")
    except Exception as exc:  # noqa: BLE001 - the outermost edge
        exit_code = exit_code_of(exc)
        if exit_code == EXIT_INTERNAL_ERROR:
            traceback.print_exc()
        console.complain(BUG_NOTICE if exit_code == EXIT_INTERNAL_ERROR else str(exc))
        sys.exit(exit_code)

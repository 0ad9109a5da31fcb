"""Which task hubs there are; making one empty; deleting one."""

from __future__ import annotations

import sys

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.errors import TaskHubNotFound
from func_py.hub_client import MOST_COUNTED, HubLine, HubPlace, delete_hub, list_hubs, make_hub

_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask; without a terminal nobody is.")


@click.command("list")
@options.on_hub
def list_command(place: HubPlace) -> None:
    """Show the task hub of the app, and beside an embedded one all others in its folder."""
    console = Console()
    lines = list_hubs(place, console)
    for line in lines:
        console.tell(_text(line))
    if not lines:
        console.say("There is no task hub yet; `func-py start` makes it.")


@click.command("reset")
@_yes
@options.on_hub
def reset_command(place: HubPlace, yes: bool) -> None:
    """Make the task hub empty: delete it with everything in it. No host may run on it."""
    console = Console()
    _ask("Delete all orchestrations and entities of the task hub?", yes)
    name = delete_hub(place, console)
    make_hub(place, console)
    console.tell(f"Task hub '{name}' is empty.")


@click.command("delete")
@_yes
@click.option("--missing-ok", is_flag=True, help="It is no error when there is none.")
@options.on_hub
def delete_command(place: HubPlace, yes: bool, missing_ok: bool) -> None:
    """Delete the task hub with everything in it. No host may run on it."""
    console = Console()
    _ask("Delete the task hub with all orchestrations and entities?", yes)
    try:
        name = delete_hub(place, console)
    except TaskHubNotFound:
        if not missing_ok:
            raise
        return
    console.tell(f"Task hub '{name}' successfully deleted.")


def _text(line: HubLine) -> str:
    mark = "*" if line.is_configured else " "
    where = f"{mark} {line.name} ({line.provider}, {line.location})"
    if line.problem:
        return f"{where}: {line.problem}"
    count = f"{line.unfinished} or more" if line.unfinished >= MOST_COUNTED else line.unfinished
    return f"{where}: unfinished orchestrations: {count}; hosts: {line.hosts}"


def _ask(question: str, yes: bool) -> None:
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)

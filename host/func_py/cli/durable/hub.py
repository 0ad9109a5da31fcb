"""Commands that delete."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.hub_client import HubPlace, Selection, delete_hub

_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask; without a terminal nobody is.")


@click.command("purge-history")
@click.option("--id", "instance_id", help="This instance alone.")
@click.option("--recursive", is_flag=True, help="Its sub-orchestrations, too.")
@options.selection
@_yes
@options.on_hub
def purge_history(
    place: HubPlace,
    instance_id: str | None,
    recursive: bool,
    created_after: datetime | None,
    created_before: datetime | None,
    statuses: tuple[str, ...],
    yes: bool,
) -> None:
    """Delete finished orchestrations; all of them, unless options say which."""
    selection = Selection(
        created_after=created_after, created_before=created_before, statuses=statuses
    )
    if instance_id is None:
        if recursive:
            raise click.UsageError("--recursive needs --id.")
        if selection == Selection():
            _ask("Delete all finished orchestrations?", yes)
        options.carry_out(place, lambda hub: hub.purge_all(selection))
    elif selection != Selection():
        raise click.UsageError("--id excludes the options that select instances.")
    else:
        options.carry_out(place, lambda hub: hub.purge(instance_id, recursive=recursive))


@click.command("delete-task-hub")
@_yes
@options.on_hub
def delete_task_hub(place: HubPlace, yes: bool) -> None:
    """Delete the task hub with everything in it. No host may run on it."""
    console = Console()
    _ask("Delete the task hub with all orchestrations and entities?", yes)
    console.tell(f"Task hub '{delete_hub(place, console)}' successfully deleted.")


def _ask(question: str, yes: bool) -> None:
    if not yes and _is_terminal():
        click.confirm(question, abort=True, err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()

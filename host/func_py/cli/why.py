"""`func-py why`: what an orchestration waits for."""

from __future__ import annotations

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.hub_client import HubPlace


@click.command("why")
@click.argument("instance_id")
@options.on_hub
def why_command(place: HubPlace, instance_id: str) -> None:
    """Say why the orchestration INSTANCE_ID has not ended, with or without a running host.

    It tells what the task hub knows: what was asked for and not answered, whether a host runs that
    has the function, that it is suspended, how it has ended.
    """
    console = Console()
    for line in options.carry_out(place, lambda hub: hub.why(instance_id)):
        console.tell(f"- {line}")

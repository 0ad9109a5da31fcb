"""`func-py why`: what an orchestration waits for."""

from __future__ import annotations

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.hub_client import HubPlace


@click.command("why")
@click.argument("instance_id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)
@options.on_hub
def why_command(place: HubPlace, instance_id: str, form: str) -> None:
    """Say why the orchestration INSTANCE_ID has not ended, or what an entity does.

    It asks the hosts of this machine, also one whose event loop is blocked, and reads the task hub;
    without a host it tells what the hub knows.
    """
    explanation = options.carry_out(place, lambda hub: hub.why(instance_id))
    if form == "json":
        options.show(explanation.as_json())
        return
    console = Console()
    console.tell(explanation.title)
    for reason in explanation.reasons:
        console.tell("- " + reason.text.replace("\n", "\n    "))

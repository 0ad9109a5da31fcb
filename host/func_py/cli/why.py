"""`func-py why`: what an orchestration waits for."""

from __future__ import annotations

from pathlib import Path

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.hub_client import HubPlace
from func_py.hub_client.explaining import explain


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
@click.option(
    "--app",
    type=click.Path(file_okay=False, path_type=Path),
    help="Replay it on the app in this folder, where no host can say what its code waits for.",
)
@options.on_hub
def why_command(place: HubPlace, instance_id: str, form: str, app: Path | None) -> None:
    """Say why the orchestration INSTANCE_ID has not ended, or what an entity does.

    It asks the hosts of this machine, also one whose event loop is blocked, and reads the task hub;
    without a host it tells what the hub knows, and with --app what the code waits for.
    """
    console = Console()
    explanation = explain(place, instance_id, console, app)
    if form == "json":
        options.show(explanation.as_json())
        return
    console.tell(explanation.title)
    for reason in explanation.reasons:
        console.tell("- " + reason.text.replace("\n", "\n    "))

"""Commands that move a task hub to another store."""

from __future__ import annotations

from pathlib import Path

import click

from func_py.cli.console import Console
from func_py.cli.durable import options
from func_py.hub_client import HubPlace
from func_py.hub_client.moving import export_to, import_from

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command("export")
@_file
@options.on_hub
def export_command(place: HubPlace, file: Path) -> None:
    """Write the task hub into FILE, for `func-py hub import`.

    With a name that ends with .gz it is compressed. All instances are in it with their histories,
    entities with their states, and what waits for them: messages, timers, activities. The hub stays
    as it is. No host may run on it.
    """
    export_to(place, file, Console())


@click.command("import")
@_file
@click.option(
    "--app",
    type=click.Path(file_okay=False, path_type=Path),
    help="Replay the orchestrations on the app in this folder, to see that they go on with it.",
)
@options.on_hub
def import_command(place: HubPlace, file: Path, app: Path | None) -> None:
    """Make the task hub from FILE, which `func-py hub export` wrote.

    The hub must not exist yet, or be empty; its provider and its number of partitions may be
    others. What was stored is read back and compared. An import that fails leaves no hub.
    """
    import_from(place, file, Console(), app)

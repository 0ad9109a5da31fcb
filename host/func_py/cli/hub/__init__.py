"""`func-py hub`: task hubs as a whole, with no host running on them."""

from __future__ import annotations

import click

from func_py.cli import LazyGroup


@click.group(
    "hub",
    cls=LazyGroup,
    lazy={
        "export": "hub.moving:export_command",
        "import": "hub.moving:import_command",
        "list": "hub.whole:list_command",
        "reset": "hub.whole:reset_command",
        "delete": "hub.whole:delete_command",
    },
)
def hub_group() -> None:
    """Work on task hubs as a whole.

    The commands open the task hub that the app's host.json names, not a host.

    Exit codes: 0 done; 1 there is no such thing, or it cannot be done; 2 wrong arguments; 3 the
    store does not answer.
    """

"""Commands that show and signal entities."""

from __future__ import annotations

import click

from func_py.cli.durable import options
from func_py.hub_client import HubPlace

_entity_name = click.option("--entity-name", "name", required=True, help="Name of the entity.")
_entity_key = click.option("--entity-key", "key", required=True, help="Its key.")


@click.command("get-entities")
@click.option("--entity-name", "name", default="", help="Only those of this name.")
@options.truth("--show-state", "With their states.")
@options.top
@options.continuation
@options.on_hub
def get_entities(place: HubPlace, name: str, show_state: bool, top: int, continuation: str) -> None:
    """List entities, as JSON.

    Each has entityId (name and key), lastOperationTime and state, which is null unless asked for.
    """
    page = options.carry_out(
        place, lambda hub: hub.entities(name, top, continuation, show_state=show_state)
    )
    options.show_page(page.items, page.continuation)


@click.command("get-entity")
@_entity_name
@_entity_key
@options.on_hub
def get_entity(place: HubPlace, name: str, key: str) -> None:
    """Show the state of an entity, as JSON."""
    options.show(options.carry_out(place, lambda hub: hub.entity(name, key)))


@click.command("signal-entity")
@_entity_name
@_entity_key
@click.option("--operation-name", "operation", required=True, help="What it is to do.")
@options.value("--input", "input", "The operation's input.")
@options.on_hub
def signal_entity(place: HubPlace, name: str, key: str, operation: str, input: str | None) -> None:
    """Ask an entity for an operation, one way; makes the task hub when there is none."""
    options.carry_out(
        place, lambda hub: hub.signal_entity(name, key, operation, input), create=True
    )

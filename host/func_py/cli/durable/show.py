"""Commands that show orchestrations."""

from __future__ import annotations

from datetime import datetime

import click

from func_py.cli.durable import options
from func_py.hub_client import HubPlace, Selection


@click.command("get-instances")
@options.selection
@options.top
@options.continuation
@options.on_hub
def get_instances(
    place: HubPlace,
    created_after: datetime | None,
    created_before: datetime | None,
    statuses: tuple[str, ...],
    top: int,
    continuation: str,
) -> None:
    """List orchestrations by creation time, as JSON.

    Each has name, instanceId, runtimeStatus, input, customStatus, output, createdTime and
    lastUpdatedTime. Where there are more, a token for the next page is told on stderr.
    """
    selection = Selection(
        created_after=created_after, created_before=created_before, statuses=statuses
    )
    page = options.carry_out(place, lambda hub: hub.instances(selection, top, continuation))
    options.show_page(page.items, page.continuation)


@click.command("get-runtime-status")
@options.instance_id
@options.truth("--show-input", "With the input.")
@options.truth("--show-output", "With the output.")
@options.on_hub
def get_runtime_status(
    place: HubPlace, instance_id: str, show_input: bool, show_output: bool
) -> None:
    """Show the status of an instance, as JSON.

    It has name, instanceId, runtimeStatus, customStatus, createdTime and lastUpdatedTime; on demand
    also input and output.
    """
    status = options.carry_out(
        place,
        lambda hub: hub.status(instance_id, show_input=show_input, show_output=show_output),
    )
    options.show(status)


@click.command("get-history")
@options.instance_id
@options.on_hub
def get_history(place: HubPlace, instance_id: str) -> None:
    """Show what has happened in an instance, as JSON.

    Each entry has EventType, Timestamp, and what belongs to that kind of event. A call is shown
    with its result, once it has one.
    """
    options.show(options.carry_out(place, lambda hub: hub.history(instance_id)))

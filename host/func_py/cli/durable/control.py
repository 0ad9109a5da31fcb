"""Commands that start and steer orchestrations."""

from __future__ import annotations

import click

from func_py.cli.durable import options
from func_py.hub_client import HubPlace


@click.command("start-new")
@click.option("--function-name", "name", required=True, help="Name of the orchestrator.")
@click.option("--id", "instance_id", default="", help="Id of the instance. [default: a random one]")
@options.value("--input", "input", "Its input.")
@click.option("--version", help="Version of the instance. [default: that of host.json]")
@options.on_hub
def start_new(
    place: HubPlace, name: str, instance_id: str, input: str | None, version: str | None
) -> None:
    """Start an orchestration; makes the task hub when there is none."""
    options.carry_out(place, lambda hub: hub.start(name, instance_id, input, version), create=True)


@click.command("raise-event")
@options.instance_id
@click.option("--event-name", "name", default="", help="[default: a random one]")
@options.value("--event-data", "data", "What goes with it.")
@options.on_hub
def raise_event(place: HubPlace, instance_id: str, name: str, data: str | None) -> None:
    """Send an event to an orchestration."""
    options.carry_out(place, lambda hub: hub.raise_event(instance_id, name, data))


@click.command("terminate")
@options.instance_id
@options.reason
@click.option("--recursive", is_flag=True, help="Its sub-orchestrations, too.")
@options.on_hub
def terminate(place: HubPlace, instance_id: str, reason: str, recursive: bool) -> None:
    """End an orchestration; the reason becomes its output."""
    options.carry_out(place, lambda hub: hub.terminate(instance_id, reason, recursive=recursive))


@click.command("suspend")
@options.instance_id
@options.reason
@options.on_hub
def suspend(place: HubPlace, instance_id: str, reason: str) -> None:
    """Hold an orchestration: what arrives for it waits until it is resumed."""
    options.carry_out(place, lambda hub: hub.suspend(instance_id, reason))


@click.command("resume")
@options.instance_id
@options.reason
@options.on_hub
def resume(place: HubPlace, instance_id: str, reason: str) -> None:
    """Let a suspended orchestration go on."""
    options.carry_out(place, lambda hub: hub.resume(instance_id, reason))


@click.command("rewind")
@options.instance_id
@options.reason
@options.on_hub
def rewind(place: HubPlace, instance_id: str, reason: str) -> None:
    """Let a failed orchestration try again what failed, and go on from there."""
    options.carry_out(place, lambda hub: hub.rewind(instance_id, reason))


@click.command("restart")
@options.instance_id
@click.option("--same-id", is_flag=True, help="In place of the old instance. [default: a new id]")
@options.on_hub
def restart(place: HubPlace, instance_id: str, same_id: bool) -> None:
    """Start an orchestration once more, with the same input."""
    options.carry_out(place, lambda hub: hub.restart(instance_id, new_instance_id=not same_id))

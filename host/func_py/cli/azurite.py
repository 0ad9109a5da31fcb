"""`func-py azurite`: the emulator of Azure Storage, with its data beside the app."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from func_py.azurite import CONNECTION, SETTING, Azurite, Ports, is_listening, running_azurite
from func_py.cli.console import AnyConsole, Console
from func_py.config.state_dir import find_state_dir

DATA_FOLDER = "azurite"
"""Below the state folder of the app."""

_USUAL = Ports()


@click.command("azurite")
@click.argument("app_root", required=False, type=click.Path(path_type=Path), default=Path())
@click.option("--blob-port", type=click.IntRange(1, 65535), default=_USUAL.blob, show_default=True)
@click.option(
    "--queue-port", type=click.IntRange(1, 65535), default=_USUAL.queue, show_default=True
)
@click.option(
    "--table-port", type=click.IntRange(1, 65535), default=_USUAL.table, show_default=True
)
def azurite_command(app_root: Path, blob_port: int, queue_port: int, table_port: int) -> None:
    """Run Azurite for the app in APP_ROOT (default: the current directory) until Ctrl+C.

    Takes the one that is installed, a Docker engine, or npx. Its data is in the app's state folder.
    """
    console = Console()
    ports = Ports(blob=blob_port, queue=queue_port, table=table_port)
    root = app_root.resolve()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with running_azurite(root, _data(root), ports) as azurite:
            _tell(console, azurite, ports)
            console.tell("Press Ctrl+C to stop.")
            console.complain(f"Azurite ended with exit code {azurite.wait()}.")
            sys.exit(1)
    except KeyboardInterrupt:
        console.say("Azurite is stopped. Its data stays.")


@contextmanager
def azurite_beside(app_root: Path, console: AnyConsole) -> Iterator[None]:
    """An Azurite at the usual ports while a host runs: the one that is there, or else a new one."""
    if all(is_listening(port) for port in _USUAL.all()):
        console.say("Azurite runs already.")
        yield
        return
    root = app_root.resolve()
    with running_azurite(root, _data(root), _USUAL) as azurite:
        _tell(console, azurite, _USUAL)
        yield


def _data(root: Path) -> Path:
    return find_state_dir(root, os.environ) / DATA_FOLDER


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _tell(console: AnyConsole, azurite: Azurite, ports: Ports) -> None:
    console.tell(f"Azurite runs ({azurite.how}). Blobs, queues and tables are at 127.0.0.1, ports")
    console.tell(f"{', '.join(str(port) for port in ports.all())}. Data: {azurite.data}")
    if ports.are_usual:
        console.tell(f'App setting: "{SETTING}": "{CONNECTION}"')

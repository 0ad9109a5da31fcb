"""`func-py keys`: the keys of functions and of the host, without a running host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from func_py.cli.console import Console
from func_py.config.local_settings import app_environment, settings_for
from func_py.config.state_dir import find_state_dir
from func_py.errors import UserError
from func_py.keys import HOST, MASTER, SYSTEM, KeyStore, Scope, keys_directory, of_function

F = TypeVar("F", bound=Callable[..., Any])


_app_root = click.option(
    "--app-root",
    "--script-root",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder of the app. [default: the current directory]",
)


def _scoped(command: F) -> F:
    """Options that say which keys of which app."""
    for option in (
        click.option("--system", is_flag=True, help="Keys of webhooks, and the master key."),
        click.option("--function", "-f", metavar="NAME", help="Keys of this function alone."),
        _app_root,
    ):
        command = option(command)
    return command


@click.group("keys")
def keys_group() -> None:
    """Show and change the keys that callers of functions need.

    Without --function or --system a key is one of the host's: it opens every function. The master
    key is `_master` among the system keys; it opens everything. A running host sees changes at
    once.
    """


@keys_group.command("list")
@_scoped
def list_command(app_root: Path, function: str | None, system: bool) -> None:
    """List keys and their values; all of them unless --function or --system is given."""
    store = _store(app_root)
    if function or system:
        scopes = [_scope(function, system)]
    else:
        scopes = [HOST, SYSTEM, *(of_function(name) for name in store.functions())]
    for scope in scopes:
        if scope == SYSTEM:
            _line(scope, MASTER, store.master())
        for name, value in store.keys(scope).items():
            _line(scope, name, value)


@keys_group.command("show")
@click.argument("name")
@_scoped
def show_command(name: str, app_root: Path, function: str | None, system: bool) -> None:
    """Print the value of a key, and nothing else."""
    scope = _scope(function, system)
    value = _store(app_root).get(scope, name)
    if value is None:
        raise _no_key(scope, name)
    click.echo(value)


@keys_group.command("set")
@click.argument("name")
@click.argument("value")
@_scoped
def set_command(name: str, value: str, app_root: Path, function: str | None, system: bool) -> None:
    """Create a key with this value, or replace its value."""
    if not value:
        raise UserError("A key needs a value.")
    scope = _scope(function, system)
    _, created = _store(app_root).put(scope, name, value)
    Console().say(f"{'Created' if created else 'Replaced'} the {scope} key '{name}'.")


@keys_group.command("rotate")
@click.argument("name")
@_scoped
def rotate_command(name: str, app_root: Path, function: str | None, system: bool) -> None:
    """Give a key a new random value, and print that; the key is created if there is none."""
    value, _ = _store(app_root).put(_scope(function, system), name)
    click.echo(value)


@keys_group.command("delete")
@click.argument("name")
@_scoped
def delete_command(name: str, app_root: Path, function: str | None, system: bool) -> None:
    """Delete a key."""
    scope = _scope(function, system)
    if not _store(app_root).delete(scope, name):
        raise _no_key(scope, name)
    Console().say(f"Deleted the {scope} key '{name}'.")


def _store(app_root: Path) -> KeyStore:
    root = app_root.resolve()
    if not root.is_dir():
        raise UserError(f'"{app_root}" doesn\'t exist, or is not a folder.')
    # What the app would see: local settings may say where the state is.
    environ, _ = app_environment(settings_for(root, os.environ), os.environ, root, port=0)
    return KeyStore(keys_directory(find_state_dir(root, environ), environ))


def _scope(function: str | None, system: bool) -> Scope:
    if function and system:
        raise click.UsageError("--function and --system exclude each other.")
    if function:
        return of_function(function)
    return SYSTEM if system else HOST


def _line(scope: Scope, name: str, value: str) -> None:
    click.echo(f"{scope!s:24} {name:24} {value}")


def _no_key(scope: Scope, name: str) -> UserError:
    return UserError(f"There is no {scope} key '{name}'.")

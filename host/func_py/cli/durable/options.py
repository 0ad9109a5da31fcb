"""What the durable commands share: which hub, and how values are written."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from func_py.cli.console import Console
from func_py.errors import UserError
from func_py.hub_client import HubCommands, HubPlace, run

T = TypeVar("T")
Command = Callable[..., Any]

instance_id = click.option("--id", "instance_id", required=True, help="Id of the instance.")
reason = click.option("--reason", default="", help="Why; kept with the instance.")
top = click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="How many.")
continuation = click.option(
    "--continuation-token", "continuation", default="", help="Go on after an earlier answer."
)


def json_value(value: str) -> str:
    """JSON text, given as such or as `@` and a file that holds it; other text is a JSON string."""
    if not value.startswith("@"):
        return value if _is_json(value) else json.dumps(value)
    path = Path(value[1:])
    if not path.is_file():
        raise UserError(f"Could not find input file at '{path}'")
    text = path.read_text(encoding="utf-8-sig")
    if not _is_json(text):
        raise UserError(f"The input file '{path}' does not hold valid JSON.")
    return text


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"'{value}' is no time like 2026-01-31T12:00:00Z.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _words(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def value(name: str, variable: str, help: str) -> Callable[[Command], Command]:
    """An option that takes JSON text, or a file with it."""
    return click.option(name, variable, type=json_value, metavar="JSON|@FILE", help=help)


def truth(name: str, help: str) -> Callable[[Command], Command]:
    """An option that may stand alone or before `true` or `false`, as Core Tools has them."""
    return click.option(
        name, type=bool, is_flag=False, flag_value=True, default=False, metavar="[BOOL]", help=help
    )


def selection(command: Command) -> Command:
    """Options that select instances."""
    for option in (
        click.option(
            "--runtime-status",
            "statuses",
            type=_words,
            default="",
            metavar="WORDS",
            help='Only those with one of these statuses: "failed terminated".',
        ),
        click.option(
            "--created-before", type=_time, metavar="TIME", help="Only those created until then."
        ),
        click.option(
            "--created-after", type=_time, metavar="TIME", help="Only those created since then."
        ),
    ):
        command = option(command)
    return command


def on_hub(command: Command) -> Command:
    """Options that say which hub; the command is called with them as one `place`."""

    @click.option(
        "--app-root",
        "--script-root",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Folder of the app. [default: the current directory]",
    )
    @click.option("--task-hub-name", default="", help="[default: that of host.json]")
    @click.option(
        "--connection-string-setting",
        default="",
        help="App setting with the connection string, where the hub is on a server. "
        "[default: that of host.json]",
    )
    @functools.wraps(command)
    def with_place(
        *, app_root: Path, task_hub_name: str, connection_string_setting: str, **options: Any
    ) -> None:
        place = HubPlace(
            app_root=app_root,
            task_hub=task_hub_name,
            connection_setting=connection_string_setting,
        )
        command(place=place, **options)

    return with_place


def carry_out(
    place: HubPlace, command: Callable[[HubCommands], Awaitable[T]], *, create: bool = False
) -> T:
    """Run a command that tells what it does."""
    return run(place, command, Console(), create=create)


def show(value: object) -> None:
    """Print a JSON value."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_page(items: list[dict[str, Any]], continuation: str) -> None:
    """Print a page of values, and how to get the next one."""
    show(items)
    if continuation:
        Console().remark(f"Continuation token for next set of results: '{continuation}'")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True

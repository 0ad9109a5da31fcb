"""`func-py new`: add a function to an app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import click

from func_py.cli.console import Console
from func_py.errors import UserError
from func_py.scaffold import TEMPLATES, AuthLevel, add_function, find_template

_WIDTH = max(len(template.name) for template in TEMPLATES)


@click.command(
    "new",
    epilog="\b\nTemplates:\n"
    + "\n".join(f"  {template.name:{_WIDTH}}  {template.about}" for template in TEMPLATES),
)
@click.option("--template", "-t", help="What to add; see below.")
@click.option("--name", "-n", help="Name of the function.")
@click.option(
    "--authlevel",
    "--auth-level",
    "-a",
    "level",
    type=click.Choice(["function", "anonymous", "admin"], case_sensitive=False),
    default="function",
    show_default=True,
    help="Which keys open it, where the template is about HTTP.",
)
@click.option(
    "--file",
    "-f",
    default="function_app.py",
    show_default=True,
    help="The file to add to; any other than the default is one with a blueprint.",
)
@click.option("--language", "-l", expose_value=False, hidden=True)
@click.option("--python", is_flag=True, expose_value=False, hidden=True)
def new_command(template: str | None, name: str | None, level: str, file: str) -> None:
    """Add a function to the app in the current directory.

    The file is made when it does not exist. One that exists only grows, and stays valid Python.
    """
    if not (template and name) and not sys.stdin.isatty():
        raise UserError("Without a terminal to ask on, --template and --name must be given.")
    chosen = find_template(template or _ask_template())
    name = name or click.prompt("Name of the function", default=chosen.name)
    # `Choice` has checked it.
    added = add_function(Path.cwd(), chosen, name, cast("AuthLevel", level), file)
    console = Console()
    for note in added.notes:
        console.say(note)
    console.tell(
        f'The function "{name}" was created successfully from the "{chosen.name}" template.'
    )


def _ask_template() -> str:
    names = [template.name for template in TEMPLATES]
    answer: str = click.prompt("Template", type=click.Choice(names))
    return answer

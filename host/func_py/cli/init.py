"""`func-py init`: begin an app."""

from __future__ import annotations

from pathlib import Path

import click

from func_py.cli.console import Console
from func_py.errors import UserError
from func_py.scaffold import write_project


@click.command("init")
@click.argument("folder", required=False, type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--worker-runtime", "--language", default="python", hidden=True)
@click.option("--model", "-m", default="V2", hidden=True)
@click.option("--python", is_flag=True, expose_value=False, hidden=True)
@click.option("--no-docs", is_flag=True, expose_value=False, hidden=True)
@click.option("--no-bundle", is_flag=True, expose_value=False, hidden=True)
def init_command(folder: Path, force: bool, worker_runtime: str, model: str) -> None:
    """Write the files of a new app into FOLDER (default: the current directory).

    They are what Azure needs, too. Files that exist are left alone.
    """
    if worker_runtime.lower() != "python":
        raise UserError(f"func-py runs Python apps; it cannot begin one for '{worker_runtime}'.")
    if model.upper() != "V2":
        raise UserError(f"The programming model of new apps is V2, with decorators; not '{model}'.")
    console = Console()
    for written in write_project(folder, overwrite=force):
        if written.is_new:
            console.tell(f"Writing {written.file}")
        else:
            console.say(f"{written.file} already exists. Skipped!")

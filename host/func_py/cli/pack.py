"""`func-py pack`: an app with this host, ready for a container image or another machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from func_py.cli.console import Console
from func_py.packing import PackOptions, pack_app


@click.command("pack")
@click.argument("app_root", default=Path(), type=click.Path(path_type=Path))
@click.option("--docker", is_flag=True, help="Write a Dockerfile, too.")
@click.option(
    "--output",
    "-o",
    default=Path("packed"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write; what an earlier pack wrote there is replaced.",
)
@click.option("--python", default="", help="Python of the image. [default: the version in use]")
@click.option(
    "--extra", "extras", multiple=True, help="Install this extra of func-py: postgres, otel, …"
)
def pack_command(
    app_root: Path, docker: bool, output: Path, python: str, extras: tuple[str, ...]
) -> None:
    """Put the app in APP_ROOT, its requirements and this func-py into one folder.

    APP_ROOT is an app, or a root with a folder `function_apps`. What `.funcignore` lists stays
    out, and so do local.settings.json, `.env` files, the local state, `.git`, virtual environments
    and earlier packs.

    The folder is the build context of an image: `docker build -t NAME packed`.
    """
    options = PackOptions(
        app_root=app_root, output=output, docker=docker, python=python, extras=extras
    )
    packed = pack_app(options, os.environ)
    console = Console()
    with_extras = f" with {', '.join(packed.extras)}" if packed.extras else ""
    console.tell(f"Packed {packed.files} files and func-py{with_extras} into {packed.output}.")
    if docker:
        console.tell(f"Next: docker build -t my-app {output}")
        console.tell("      docker run --stop-timeout 20 -p 8080:80 -v my-app:/home/state my-app")

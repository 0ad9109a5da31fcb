"""`func-py check`: what is wrong with an app, for people and for CI."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from func_py.cli.console import Console
from func_py.cli.sarif import sarif_log
from func_py.supervisor.checking import CheckReport, check_app
from func_py.supervisor.exits import EXIT_USER_ERROR

_FORMATS = ("text", "json", "sarif")


@click.command("check")
@click.argument("app_root", default=Path(), type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", help="How to print. [text]"
)
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
def check_command(app_root: Path, form: str, strict: bool) -> None:
    """Load the app in APP_ROOT, run nothing of it, and report every problem.

    That is what `func-py start` would report, and what breaks replay in orchestrators and in the
    functions of the project that they call: clock, random numbers, new ids, the environment, I/O,
    network, sleeping, threads, await, the order of sets, tasks that are never yielded, generators
    called without `yield from`, and names that no function has.

    A comment `# func-py: ignore[rule]` on the line, or on that of the `def`, switches a rule off.

    Exit codes: 0 no errors; 1 errors.
    """
    report = check_app(app_root)
    if form == "text":
        _print(report)
    elif form == "json":
        click.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        click.echo(json.dumps(sarif_log(report, app_root.resolve()), indent=2, ensure_ascii=False))
    if (strict and report.problems) or any(p.level == "error" for p in report.problems):
        sys.exit(EXIT_USER_ERROR)


def _print(report: CheckReport) -> None:
    console = Console()
    for problem in report.problems:
        console.tell(f"{problem.level}: {problem.message}\n")
    errors = sum(problem.level == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    console.tell(
        f"{_count(report.functions, 'function')}, {_count(errors, 'error')}, "
        f"{_count(warnings, 'warning')}"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"

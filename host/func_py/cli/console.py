"""What the command prints about a host, in the form that Core Tools made familiar."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

import click

from func_py import __version__
from func_py.config.local_settings import is_production
from func_py.json_lines import json_line
from func_py.supervisor.protocol import FunctionLine, Ready


class Console:
    """Prints for people; colours only on a terminal, and not with NO_COLOR."""

    def ready(self, report: Ready) -> None:
        """The functions with their URLs, then the facts about the host."""
        _print(f"\nfunc-py {__version__}", fg="cyan")
        _print("\nFunctions:\n")
        by_name = sorted(report.functions, key=lambda line: line.name.casefold())
        for line in sorted(by_name, key=lambda line: not line.url):
            if not line.is_disabled:
                _print(f"\t{_function(line)}\n")
        for line in by_name:
            if line.is_disabled:
                _print(f"Function {line.name} is disabled.", fg="yellow")
        for fact in report.facts:
            _print(fact)
        _print("Press Ctrl+C to stop.\n")

    def reloaded(self, report: Ready, before: Ready) -> None:
        """That new code serves, and the functions that it has added, changed or taken away."""
        _print("Reloaded.", fg="cyan")
        for line in report.functions:
            if line not in before.functions and not line.is_disabled:
                _print(f"\t{_function(line)}")
        names = {line.name for line in report.functions}
        for line in before.functions:
            if line.name not in names:
                _print(f"\t{line.name}: gone")

    def tell(self, text: str) -> None:
        """What was asked for has happened."""
        _print(text)

    def say(self, text: str) -> None:
        """A notice."""
        _print(text, fg="yellow")

    def remark(self, text: str) -> None:
        """Something beside the output, to stderr."""
        _print(text, fg="yellow", err=True)

    def complain(self, text: str) -> None:
        """An error, to stderr."""
        _print(text, fg="red", err=True)


class JsonConsole:
    """Says the same to a log collector: each notice is a line like those of the log."""

    def ready(self, report: Ready) -> None:
        """One line, with the functions as data."""
        more = {
            "version": __version__,
            "functions": [asdict(line) for line in report.functions],
            "facts": list(report.facts),
        }
        _log(logging.INFO, report.facts[-1] if report.facts else "Ready", more)

    def reloaded(self, report: Ready, before: Ready) -> None:
        """One line, with the functions of now."""
        functions = [asdict(line) for line in report.functions]
        _log(logging.INFO, "Reloaded.", {"functions": functions})

    def tell(self, text: str) -> None:
        """What was asked for has happened."""
        _log(logging.INFO, text)

    def say(self, text: str) -> None:
        """A notice."""
        _log(logging.INFO, text)

    def complain(self, text: str) -> None:
        """An error."""
        _log(logging.ERROR, text)


AnyConsole = Console | JsonConsole


def console_for(environ: Mapping[str, str]) -> AnyConsole:
    """JSON lines in production, unless a person looks at a terminal there."""
    return JsonConsole() if is_production(environ) and not sys.stdout.isatty() else Console()


def _log(level: int, text: str, more: Mapping[str, object] | None = None) -> None:
    click.echo(json_line(time.time(), level, text, more=more or {}), nl=False)


def _function(line: FunctionLine) -> str:
    name = click.style(line.name, fg="yellow")
    if not line.url:
        return f"{name}: {line.trigger}"
    methods = f"[{','.join(line.methods)}]" if line.methods else ""
    return f"{name}: {methods} {click.style(line.url, fg='green')}"


def _print(text: str, fg: str | None = None, err: bool = False) -> None:
    colour = False if os.environ.get("NO_COLOR") else None
    click.echo(click.style(text, fg=fg) if fg else text, err=err, color=colour)

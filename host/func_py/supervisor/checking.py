"""Have an app loaded and checked by a process of its own, and take its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from func_py.errors import InternalError, UserError
from func_py.supervisor.exits import EXIT_INTERNAL_ERROR, describe_exit

_ENTRY = "func_py.runtime.checking"

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with an app. `error`: it does not run, or not as it should."""

    level: Level
    rule: str
    """What kind it is: `config`, `app`, `function`, `warning`, or a rule of the linter."""
    message: str
    """Complete, with its place."""
    file: str = ""
    line: int = 0
    """From 1, as is `column`; 0 where there is none."""
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check has found. `functions`: how many functions were loaded."""

    functions: int = 0
    problems: tuple[Problem, ...] = ()

    def to_json(self) -> str:
        """The report as JSON text; `from_json` reads it."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> CheckReport:
        """The report that `to_json` wrote."""
        tree = json.loads(text)
        problems = tuple(Problem(**problem) for problem in tree["problems"])
        return CheckReport(functions=tree["functions"], problems=problems)


def check_app(root: Path) -> CheckReport:
    """Load the app in a process of its own, which ends afterwards, and check it.

    What the app prints meanwhile goes to stderr.

    Raises:
        UserError: There is no such folder.
        InternalError: The checking process had a bug; its traceback is on stderr.
    """
    if not root.is_dir():
        raise UserError(f'"{root}" doesn\'t exist, or is not a folder.')
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as report:
        process = subprocess.Popen(
            # Without the current directory on the path, where the app may have a `json.py`.
            [sys.executable, "-P", "-m", _ENTRY, str(root.resolve()), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=[writing],
        )
        os.close(writing)
        text = report.read()
    code = process.wait()
    if code == EXIT_INTERNAL_ERROR:
        raise InternalError("the app could not be checked; see above for the reason")
    if text:
        return CheckReport.from_json(text)
    message = f"The process that loads the app {describe_exit(code)} before the app was loaded."
    return CheckReport(problems=(Problem(level="error", rule="app", message=message),))

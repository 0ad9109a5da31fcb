"""The process of `func-py check`: loads the app as a host would, reports, and ends.

Imports what a host imports before it loads an app, for the same reason: the app may have modules
of the same names.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from func_py.config.host_json import load_host_config
from func_py.config.local_settings import app_environment, settings_for
from func_py.config.settings import HostConfig
from func_py.errors import ConfigError, DiscoveryError, UserError
from func_py.hub_client import configured_hub
from func_py.lint import Finding
from func_py.runtime.durable import uses_durable
from func_py.runtime.loading import (
    import_storage,
    lint_functions,
    load_functions,
    unknown_names,
)
from func_py.supervisor.checking import CheckReport, Level, Problem
from func_py.supervisor.exits import EXIT_INTERNAL_ERROR
from func_py_bindings.contract import FunctionSpec

_PLACE = re.compile(r"(?P<file>/[^\n:]+):(?:(?P<line>\d+):)?")
_TRACEBACK = re.compile(r'File "(?P<file>/[^"]+)", line (?P<line>\d+)')
_SCRIPT = re.compile(r"(?P<file>/\S+\.(?:py|json))\b")


class _Warnings(logging.Handler):
    """Keeps what the host would have warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("func_py"):
            self.texts.append(record.getMessage())


def check(root: Path, environ: Mapping[str, str]) -> CheckReport:
    """Load the app in this process and say what is wrong with it.

    The working directory, `sys.path` and the environment become the app's.
    """
    problems: list[Problem] = []
    functions: list[FunctionSpec] = []
    warnings = _Warnings()
    logging.getLogger().addHandler(warnings)
    try:
        settings = settings_for(root, environ)
        environment, notices = app_environment(settings, environ, root, port=0)
        os.environ.update(environment)
        warnings.texts += notices
        config = load_host_config(root, environment)
        warnings.texts += config.warnings
        import_storage(config)
        functions = load_functions(root, environment)
        warnings.texts += unknown_names(functions, config.functions)
        problems += [_problem("function", f.problem) for f in functions if f.problem]
        problems += _hub_problems(config, functions)
        problems += [_of_finding(finding) for finding in lint_functions(functions)]
    except ConfigError as error:
        problems.append(_of_config(root, error))
    except DiscoveryError as error:
        problems += [_problem("app", text) for text in error.problems]
    except UserError as error:
        problems.append(_problem("app", str(error)))
    finally:
        logging.getLogger().removeHandler(warnings)
    problems += [_problem("warning", text, "warning") for text in dict.fromkeys(warnings.texts)]
    return CheckReport(functions=len(functions), problems=tuple(problems))


def _hub_problems(config: HostConfig, functions: Sequence[FunctionSpec]) -> Iterator[Problem]:
    """Whether the task hub could be opened, as far as the settings tell."""
    if uses_durable(functions):
        try:
            configured_hub(config)
        except ConfigError as error:
            yield _of_config(config.root, error)


def _of_config(root: Path, error: ConfigError) -> Problem:
    file = root / error.file
    where = str(file) if file.is_file() else ""
    return Problem(level="error", rule="config", message=str(error), file=where)


def _of_finding(finding: Finding) -> Problem:
    return Problem(
        level="error",
        rule=finding.rule.id,
        message=finding.text,
        file=str(finding.path),
        line=finding.line,
        column=finding.column,
    )


def _problem(rule: str, text: str, level: Level = "error") -> Problem:
    """A problem whose place stands in its text."""
    match = _PLACE.match(text)
    if match is None or match["line"] is None:
        frames = [m for m in _TRACEBACK.finditer(text) if "site-packages" not in m["file"]]
        match = frames[-1] if frames else match or _SCRIPT.match(text)
    if match is None:
        return Problem(level=level, rule=rule, message=text)
    line = int(match.groupdict().get("line") or 0)
    return Problem(level=level, rule=rule, message=text, file=match["file"], line=line)


def main(arguments: Sequence[str]) -> int:
    """Check the app root in the first argument; the report goes to the descriptor in the second."""
    root, descriptor = Path(arguments[0]), int(arguments[1])
    os.set_inheritable(descriptor, False)  # No program that the app starts is to hold it.
    try:
        report = check(root, os.environ)
    except Exception:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        return EXIT_INTERNAL_ERROR
    with open(descriptor, "w", encoding="utf-8") as out:
        out.write(report.to_json())
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the app has started must not keep the process.
    os._exit(code)

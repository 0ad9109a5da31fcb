"""A check's report in SARIF 2.1.0, the form that code hosts show beside the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from func_py import __version__
from func_py.supervisor.checking import CheckReport, Problem

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_log(report: CheckReport, root: Path) -> dict[str, Any]:
    """The whole log; files below `root`, which is absolute, are relative to it."""
    rules = sorted({problem.rule for problem in report.problems})
    driver = {
        "name": "func-py",
        "version": __version__,
        "rules": [{"id": rule} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {"ROOT": {"uri": f"{root.as_uri()}/"}},
        "results": [_result(problem, root) for problem in report.problems],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(problem: Problem, root: Path) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "level": problem.level,
        "message": {"text": problem.message},
    }
    if problem.file:
        place: dict[str, Any] = {"artifactLocation": _artifact(Path(problem.file), root)}
        if problem.line:
            region = {"startLine": problem.line}
            if problem.column:
                region["startColumn"] = problem.column
            place["region"] = region
        result["locations"] = [{"physicalLocation": place}]
    return result


def _artifact(file: Path, root: Path) -> dict[str, str]:
    if file.is_relative_to(root):
        return {"uri": file.relative_to(root).as_posix(), "uriBaseId": "ROOT"}
    return {"uri": file.as_uri()}

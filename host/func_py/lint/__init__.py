"""Finds what breaks replay in orchestrators and the project functions they call. Reads source only.

It works on syntax trees, so what it cannot be sure of it does not report: a false alarm costs more
than a missed one, because whatever slips through is still found when an orchestration is replayed.
"""

from func_py.lint.analysis import OrchestratorSource, lint_orchestrators
from func_py.lint.rules import RULES, Finding, Rule

__all__ = ["RULES", "Finding", "OrchestratorSource", "Rule", "lint_orchestrators"]

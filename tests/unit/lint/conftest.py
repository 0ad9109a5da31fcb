"""A linter for small apps."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.linting import Linter


@pytest.fixture
def lint(tmp_path: Path) -> Linter:
    """A linter with an app folder of its own."""
    return Linter(tmp_path)

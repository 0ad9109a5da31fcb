"""Fixtures of the fault tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.journeys import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)

"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hubs import HubFactory, sqlite_hub
from support.weak_hub import WeakHub


@pytest.fixture(params=["sqlite", "sqlite-weak"])
def hub_factory(request: pytest.FixtureRequest, tmp_path: Path) -> HubFactory:
    """Views of one hub in a file; the weak one loses turns and delivers twice."""
    if request.param == "sqlite":
        return lambda: sqlite_hub(tmp_path)
    return lambda: WeakHub(sqlite_hub(tmp_path))

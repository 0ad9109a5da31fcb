"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hubs import HubFactory, sqlite_hub


@pytest.fixture
def hub_factory(tmp_path: Path) -> HubFactory:
    return lambda: sqlite_hub(tmp_path)

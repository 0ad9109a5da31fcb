"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.site import Site
from faults.victims import WarmParent


@pytest.fixture(scope="session")
def warm_parent() -> Iterator[WarmParent]:
    with WarmParent() as parent:
        yield parent


@pytest.fixture
def site(tmp_path: Path, warm_parent: WarmParent) -> Site:
    return Site(tmp_path, warm_parent)

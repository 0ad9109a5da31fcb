"""Fixtures of the tests that have the emulator of Azure Storage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.storage import Site


@pytest.fixture
async def site(azurite: str) -> AsyncIterator[Site]:
    """Storage with names of this test's own."""
    site = Site(azurite)
    yield site
    await site.connections.close()

"""Settings of the replay tests."""

from __future__ import annotations

import warnings

import pytest


@pytest.fixture(autouse=True)
def _allow_notices_of_the_sdk() -> None:
    """The SDK tells once per process how its codec could be used; here warnings are errors."""
    warnings.filterwarnings("ignore", "azure.functions", DeprecationWarning)

"""Fixtures of the conformance suite."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

for _module in (
    "harness",
    "client_cases",
    "history_cases",
    "hub_cases",
    "moving_cases",
    "owner_cases",
    "payload_cases",
    "record_cases",
    "sharing_cases",
    "turn_cases",
):
    pytest.register_assert_rewrite(f"conformance.{_module}")

from conformance.harness import Harness, World  # noqa: E402 - after the registration
from support.azure_harness import AzureHarness  # noqa: E402 - after the registration
from support.mssql_harness import MssqlHarness  # noqa: E402
from support.postgres_harness import PostgresHarness  # noqa: E402
from support.postgres_server import PostgresServer  # noqa: E402
from support.sqlite_harness import SqliteHarness, WeakSqliteHarness  # noqa: E402

MSSQL_SERVER = os.environ.get("MSSQL_TEST_CONNECTION_STRING", "")
"""A SQL Server for the suite to run on, which has a database of its own; none by default."""

PROVIDERS = ["sqlite", "sqlite-weak", "postgres", "azure", "mssql-translated"]

_numbers = itertools.count(1)


@pytest.fixture(params=[*PROVIDERS, "mssql"] if MSSQL_SERVER else PROVIDERS)
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    """Each provider in turn, with an empty store."""
    if request.param != "azure":
        yield _sql_harness(request, tmp_path)
        return
    azure = AzureHarness(request.getfixturevalue("azurite"), f"T{next(_numbers)}x")
    yield azure
    await azure.remove()


def _sql_harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return PostgresHarness(server.uri, f"{tmp_path.name}.")
    if request.param == "mssql":
        return MssqlHarness(f"{tmp_path.name}.", server=MSSQL_SERVER)
    if request.param == "mssql-translated":
        uri: str = request.getfixturevalue("translating_server")
        return MssqlHarness(f"{tmp_path.name}.", postgres=uri)
    return {"sqlite": SqliteHarness, "sqlite-weak": WeakSqliteHarness}[request.param](tmp_path)


@pytest.fixture
async def world(harness: Harness) -> AsyncIterator[World]:
    """The hosts of a test."""
    world = World(harness)
    yield world
    await world.close()

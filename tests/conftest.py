"""Every test starts from an environment that says nothing to the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.postgres_server import PostgresServer

_SAYS_SOMETHING = ("AZURE", "FUNC_PY_", "FUNCTIONS_", "PYTHON_", "WEBSITE_", "NO_COLOR")

for _name in list(os.environ):
    if _name.upper().startswith(_SAYS_SOMETHING):
        del os.environ[_name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make image-check` needs."""
    parser.addoption("--built-image", type=Path, help="folder of an image that was built")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this run; tests share it and must not stop it."""
    from support.postgres_server import running_server

    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def translating_server(postgres_server: PostgresServer) -> str:
    """Connection string of the same server, ready for statements meant for SQL Server."""
    from support.mssql_on_postgres import prepare

    prepare(postgres_server.uri)
    return postgres_server.uri


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Connection string of the Azurite of this run; tests share it and must not stop it.

    Names of queues, tables and containers are the test's to choose, so that it meets no other.
    """
    from support.azurite import running_azurite

    with running_azurite() as server:
        yield server.connection_string

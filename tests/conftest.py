"""Every test starts from an environment that says nothing to the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.postgres_server import PostgresServer

_SAYS_SOMETHING = ("AZURE", "FUNC_PY_", "FUNCTIONS_", "PYTHON_", "WEBSITE_", "NO_COLOR")

for _name in list(os.environ):
    if _name.upper().startswith(_SAYS_SOMETHING):
        del os.environ[_name]


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

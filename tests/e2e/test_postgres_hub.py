"""Hosts on a PostgreSQL server, as host.json and local settings lead them there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.postgres_server import PostgresServer
from support.process import COMMAND, running_host

pytestmark = pytest.mark.e2e

SAMPLE = Path(__file__).parents[2] / "function_apps" / "chaining"
GREETINGS = ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]


@pytest.fixture
def root(tmp_path: Path, postgres_server: PostgresServer) -> Path:
    """A sample app, moved to the server."""
    root = shutil.copytree(SAMPLE, tmp_path / "app")
    provider = {"type": "postgres", "connectionStringName": "HUB_DATABASE", "schemaName": "e2e"}
    durable = {"hubName": "Greetings", "storageProvider": provider}
    host = {"version": "2.0", "extensions": {"durableTask": durable}}
    (root / "host.json").write_text(json.dumps(host))
    values = {"FUNCTIONS_WORKER_RUNTIME": "python", "HUB_DATABASE": postgres_server.uri}
    (root / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))
    return root


def test_hosts_of_two_processes_share_a_hub_on_a_server(root: Path, tmp_path: Path) -> None:
    """What one is asked to start, the one that owns the partition runs."""
    with (
        running_host(root, tmp_path / "log1") as first,
        running_host(root, tmp_path / "log2") as second,
    ):
        ends = [host.wait_for_end_of(host.post("/api/chaining")) for host in (first, second)]
        said = first.output
    assert [end["output"] for end in ends] == [GREETINGS] * 2
    assert "Task hub: Greetings (postgres, " in said
    assert "schema e2e" in said

    listed = subprocess.run(
        [*COMMAND, "durable", "get-instances"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for end in ends:
        assert end["instanceId"] in listed.stdout

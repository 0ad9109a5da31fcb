"""Hosts on Azure Storage, as host.json and local settings lead them there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.azurite import running_azurite
from support.process import COMMAND, running_host, wait_for

pytestmark = pytest.mark.e2e

SAMPLE = Path(__file__).parents[2] / "function_apps" / "chaining"
GREETINGS = ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]


def write_app(root: Path, connection_string: str, hub: str, **provider: object) -> Path:
    """A sample app, moved to a storage account."""
    shutil.copytree(SAMPLE, root)
    storage = {"type": "AzureStorage", "maxQueuePollingInterval": "00:00:01", **provider}
    durable = {"hubName": hub, "storageProvider": storage}
    host = {"version": "2.0", "extensions": {"durableTask": durable}}
    (root / "host.json").write_text(json.dumps(host))
    values = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": connection_string}
    (root / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))
    return root


def test_a_host_that_was_killed_leaves_its_orchestrations_to_the_other(
    tmp_path: Path, azurite: str
) -> None:
    """Its leases and what it has hidden come back when their time is up."""
    root = write_app(
        tmp_path / "app",
        azurite,
        "Killed",
        leaseTime="00:00:02",
        controlQueueVisibilityTimeout="00:00:02",
    )
    with (
        running_host(root, tmp_path / "log1") as first,
        running_host(root, tmp_path / "log2") as second,
    ):
        starts = [first.post("/api/chaining") for _ in range(6)]
        child = first.child_pid()
        first.send(signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        starts += [second.post("/api/chaining") for _ in range(6)]
        urls = [f"/runtime/webhooks/durabletask/instances/{s.json()['id']}" for s in starts]

        def all_ended() -> bool:
            ends = [second.get(url).json() for url in urls]
            return all(end["output"] == GREETINGS for end in ends)

        wait_for(all_ended, "every orchestration to complete", 40)


def test_commands_work_beside_a_host(tmp_path: Path, azurite: str) -> None:
    root = write_app(tmp_path / "app", azurite, "Beside")
    with running_host(root, tmp_path / "log") as host:
        end = host.wait_for_end_of(host.post("/api/chaining"))
        command = [*COMMAND, "durable", "get-instances"]
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert end["output"] == GREETINGS
    assert end["instanceId"] in listed.stdout


def test_a_store_that_does_not_answer_is_said_in_words(tmp_path: Path) -> None:
    with running_azurite() as azurite:
        connection_string = azurite.connection_string
    root = write_app(tmp_path / "app", connection_string, "Away")
    ended = subprocess.run(
        [*COMMAND, "start", "--port", "0"], cwd=root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_connection_that_is_not_set_is_said_in_words(tmp_path: Path) -> None:
    root = write_app(tmp_path / "app", "", "Nowhere")
    ended = subprocess.run(
        [*COMMAND, "start", "--port", "0", "--no-reload"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "storageProvider.connectionName" in ended.stderr
    assert "AzureWebJobsStorage" in ended.stderr

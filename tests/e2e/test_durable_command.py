"""`func-py durable` beside a host that runs on the same task hub."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import COMMAND, HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]


class App:
    """The samples in a host, and the command line in other processes."""

    def __init__(self, host: HostProcess, state_dir: Path) -> None:
        self.host = host
        self._environ = {**os.environ, "FUNC_PY_STATE_DIR": str(state_dir)}

    def durable(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "durable", *arguments],
            cwd=REPOSITORY,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self, instance_id: str) -> Any:
        return json.loads(
            self.durable("get-runtime-status", "--id", instance_id, "--show-output").stdout
        )


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("durable")
    environ = {"FUNC_PY_STATE_DIR": str(folder)}
    with running_host(REPOSITORY, folder / "log", environ=environ) as host:
        yield App(host, folder)


def test_what_the_command_line_starts_runs_in_the_host(app: App) -> None:
    arguments = ("--function-name", "greet_cities", "--input", '["Oslo"]', "--id", "cli")
    started = app.durable("start-new", *arguments)

    final = wait_for(
        lambda: status if (status := app.status("cli"))["runtimeStatus"] == "Completed" else None,
        "the orchestration",
    )

    assert (started.returncode, started.stderr) == (0, "")
    assert final["output"] == ["Hello, Oslo!"]


def test_what_the_host_started_is_steered_from_the_command_line(app: App) -> None:
    start = app.host.post("/api/expenses", {"amount": 120})

    ended = app.durable("terminate", "--id", start.json()["id"], "--reason", "no budget")

    assert ended.returncode == 0
    assert ended.stdout.endswith(f"Successfully terminated '{start.json()['id']}'\n")
    assert app.host.wait_for_end_of(start)["output"] == "no budget"


def test_entities_are_signaled_and_shown(app: App) -> None:
    entity = ("--entity-name", "counter", "--entity-key", "cli")
    signaled = app.durable("signal-entity", *entity, "--operation-name", "add", "--input", "2")

    wait_for(lambda: app.durable("get-entity", *entity).stdout == "2\n", "the entity")

    listed = json.loads(app.durable("get-entities", "--show-state").stdout)
    assert signaled.returncode == 0
    assert [(item["entityId"]["key"], item["state"]) for item in listed] == [("cli", 2)]


def test_a_hub_that_is_in_use_is_not_deleted(app: App) -> None:
    refused = app.durable("delete-task-hub")

    assert refused.returncode == 1
    assert "is open in host" in refused.stderr
    assert app.durable("get-instances").returncode == 0

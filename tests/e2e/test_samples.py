"""The sample apps, all in one host, do what their READMEs promise."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("samples")
    environ = {"FUNC_PY_STATE_DIR": str(folder)}
    with running_host(REPOSITORY, folder / "log", environ=environ) as host:
        yield host


def test_the_start_shows_where_the_task_hub_is(host: HostProcess) -> None:
    assert "Task hub: Samples (sqlite, " in host.output


def test_hello_http(host: HostProcess) -> None:
    assert host.get("/api/hello/Ada").text == "Hello, Ada!"


def test_chaining(host: HostProcess) -> None:
    start = host.post("/api/chaining")
    final = host.wait_for_end_of(start)

    assert start.status == 202
    assert final["runtimeStatus"] == "Completed"
    assert final["output"] == ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]


def test_fan_out_fan_in(host: HostProcess) -> None:
    answer = host.post("/api/word-count", "to be or not to be\nthat is the question\n")

    assert (answer.status, answer.json()) == (200, {"lines": 2, "words": 10})


def test_async_http_api_tells_how_far_it_is(host: HostProcess) -> None:
    start = host.post("/api/exports?pages=2")
    status_url = start.headers["location"]

    def progress() -> Any:
        status = host.get(status_url).json()
        return status if status["customStatus"] else None

    first = wait_for(progress, "a custom status")
    final = host.wait_for_end_of(start)

    assert first["runtimeStatus"] == "Running"
    assert first["customStatus"] == {"page": 1, "of": 2}
    assert final["customStatus"] == "done"
    assert final["output"] == ["export-001.csv", "export-002.csv"]


@pytest.mark.parametrize(("approved", "output"), [(True, "approved"), (False, "rejected")])
def test_approval_in_time(host: HostProcess, approved: bool, output: str) -> None:
    start = host.post("/api/expenses", {"amount": 120})

    decision = host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": approved})

    assert decision.status == 202
    assert host.wait_for_end_of(start)["output"] == output


def test_approval_that_nobody_gives(host: HostProcess) -> None:
    start = host.post("/api/expenses", {"amount": 120, "patience_s": 0.2})

    assert host.wait_for_end_of(start)["output"] == "escalated"


def test_orchestrations_go_on_after_their_process_was_killed(tmp_path: Path) -> None:
    environ = {"FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(REPOSITORY, tmp_path / "log", environ=environ) as host:
        start = host.post("/api/expenses", {"amount": 120})
        child = host.child_pid()

        os.kill(child, signal.SIGKILL)
        host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": True})

        assert host.wait_for_end_of(start)["output"] == "approved"
        assert host.child_pid() != child


def test_orchestrations_go_on_in_the_next_host(tmp_path: Path) -> None:
    environ = {"FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(REPOSITORY, tmp_path / "log", environ=environ) as host:
        start = host.post("/api/expenses", {"amount": 120})
        host.send(signal.SIGINT)
        assert host.wait() == 0

    with running_host(REPOSITORY, tmp_path / "log2", environ=environ) as host:
        host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": True})

        assert host.wait_for_end_of(start)["output"] == "approved"

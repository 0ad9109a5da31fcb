"""Task hubs as wholes: what a start finds there, and how to get rid of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.process import COMMAND, running_host, wait_for

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An app whose orchestrations wait for an event."""
    root: Path = shutil.copytree(REPOSITORY / "function_apps" / "versions", tmp_path / "app")
    (root / "host.json").write_text('{"version": "2.0"}')
    return root


def hub(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and all output of a command."""
    done = subprocess.run(
        [*COMMAND, "hub", *arguments, "--app-root", str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def leave_one_unfinished(root: Path, log: Path) -> None:
    """Start an orchestration that waits, and stop the host."""
    start = [*COMMAND, "durable", "start-new", "--function-name", "deliver_parcel", "--id", "left"]
    with running_host(root, log) as host:
        subprocess.run([*start, "--app-root", str(root)], check=True)
        status = "/runtime/webhooks/durabletask/instances/left"
        wait_for(lambda: host.get(status).json()["runtimeStatus"] == "Running", "the instance")


def test_a_start_says_how_many_orchestrations_go_on(root: Path, tmp_path: Path) -> None:
    leave_one_unfinished(root, tmp_path / "first")
    assert "go on" not in (tmp_path / "first").read_text()

    with running_host(root, tmp_path / "second") as host:
        assert "Unfinished orchestrations that go on: 1\n" in host.output


def test_a_fresh_start_finds_nothing(root: Path, tmp_path: Path) -> None:
    leave_one_unfinished(root, tmp_path / "first")

    with running_host(root, tmp_path / "second", ["--fresh"]) as host:
        assert host.get("/runtime/webhooks/durabletask/instances/left").status == 404
        assert "go on" not in host.output


def test_a_fresh_start_does_not_touch_a_hub_that_is_in_use(root: Path, tmp_path: Path) -> None:
    with running_host(root, tmp_path / "first") as host:
        done = subprocess.run(
            [*COMMAND, "start", str(root), "--port", "0", "--fresh"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "open" in done.stderr or "running" in done.stderr
        assert host.get("/admin/host/ping").status == 200


def test_a_list_shows_what_is_unfinished_and_who_runs(root: Path, tmp_path: Path) -> None:
    assert hub(root, "list") == (0, "There is no task hub yet; `func-py start` makes it.\n")

    leave_one_unfinished(root, tmp_path / "first")
    code, idle = hub(root, "list")
    with running_host(root, tmp_path / "second"):
        _, running = hub(root, "list")

    assert code == 0
    assert idle.startswith("* TestHubName (sqlite, ")
    assert idle.endswith(": unfinished orchestrations: 1; hosts: 0\n")
    assert running.endswith(": unfinished orchestrations: 1; hosts: 1\n")


def test_a_list_shows_the_other_hubs_of_the_folder(root: Path, tmp_path: Path) -> None:
    leave_one_unfinished(root, tmp_path / "first")
    (root / "host.json").write_text(
        '{"version": "2.0", "extensions": {"durableTask": {"hubName": "Another"}}}'
    )
    start = [*COMMAND, "durable", "start-new", "--function-name", "deliver_parcel"]
    subprocess.run([*start, "--app-root", str(root)], check=True)  # Makes the hub, too.

    _, output = hub(root, "list")

    assert [line.split()[:2] for line in output.splitlines()] == [
        ["*", "Another"],
        ["TestHubName", "(sqlite,"],
    ]


def test_a_reset_leaves_an_empty_hub_and_a_delete_none(root: Path, tmp_path: Path) -> None:
    assert hub(root, "reset", "--yes")[0] == 1  # There is none.
    leave_one_unfinished(root, tmp_path / "first")

    assert hub(root, "reset", "--yes") == (0, "Task hub 'TestHubName' is empty.\n")
    assert hub(root, "list")[1].endswith(": unfinished orchestrations: 0; hosts: 0\n")
    assert hub(root, "delete", "--yes") == (0, "Task hub 'TestHubName' successfully deleted.\n")
    assert hub(root, "delete", "--yes")[0] == 1
    assert hub(root, "delete", "--yes", "--missing-ok") == (0, "")

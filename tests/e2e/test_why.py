"""`func-py why` beside a real host with two processes, and without one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import COMMAND, HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

APP = """
import asyncio
import time
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def long_work(context):
    yield context.call_activity("dig", 1)


@app.activity_trigger(input_name="depth")
async def dig(depth: int) -> int:
    await asyncio.sleep(600)
    return depth


def wait_for_file():
    Path("entered").touch()
    while not Path("released").exists():
        time.sleep(0.01)


@app.orchestration_trigger(context_name="context")
def blocking(context):
    wait_for_file()
    yield context.wait_for_external_event("Go")
"""


class Hub:
    """The command line on the hub of an app."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments, "--app-root", str(self._root)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, name: str, instance_id: str) -> None:
        self.run("durable", "start-new", "--function-name", name, "--id", instance_id)

    def why(self, instance_id: str) -> str:
        return self.run("why", instance_id).stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("why")
    durable = '{"hubName": "Why"}, "funcPy": {"drainTimeout": "00:00:00.1"}'
    (root / "host.json").write_text(
        f'{{"version": "2.0", "extensions": {{"durableTask": {durable}}}}}'
    )
    (root / "function_app.py").write_text(APP)
    return root


@pytest.fixture(scope="module")
def host(root: Path) -> Iterator[HostProcess]:
    with running_host(root, root / "log", ["--workers", "2"]) as host:
        yield host


@pytest.fixture
def hub(root: Path) -> Hub:
    return Hub(root)


def test_without_a_host_that_is_the_reason(root: Path, tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text((root / "host.json").read_text())
    hub = Hub(tmp_path)
    hub.start("long_work", "alone")

    title, *reasons = hub.why("alone").splitlines()

    assert title.startswith("Orchestration 'long_work', instance 'alone': Pending, started ")
    assert reasons == ["- no host runs on this task hub: `func-py start` goes on with it"]


def test_an_unknown_instance_is_an_error(host: HostProcess, hub: Hub) -> None:
    done = hub.run("why", "nobody")

    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_what_runs_in_a_host_is_told_by_the_command_and_by_the_api(
    host: HostProcess, hub: Hub
) -> None:
    hub.start("long_work", "one")

    wait_for(lambda: "- activity 'dig' (#0) runs for " in hub.why("one"), "the reason")

    answer = host.get("/runtime/webhooks/durabletask/instances/one/why")
    assert answer.status == 200
    assert answer.json()["reasons"][0]["kind"] == "activity"
    shown = json.loads(hub.run("why", "one", "--format", "json").stdout)
    assert [reason["kind"] for reason in shown["reasons"]] == ["activity", "fine"]


def test_a_blocked_event_loop_is_told_with_the_stack_of_the_code(
    host: HostProcess, hub: Hub, root: Path
) -> None:
    hub.start("blocking", "two")
    wait_for((root / "entered").exists, "the orchestrator to block")
    try:
        text = hub.why("two")
    finally:
        (root / "released").touch()

    assert "or longer: orchestrator 'blocking' (instance 'two') blocks its event loop" in text
    assert "function_app.py:31 in blocking: wait_for_file()\n" in text
    assert " in wait_for_file: " in text
    wait_for(lambda: "it waits for the event 'Go'" in hub.why("two"), "the loop to go on")

"""`func-py why` beside a real host with two processes."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import Host
from support.process import COMMAND, HostProcess, running_host, wait_for

from func_py.config.host_json import load_host_config
from func_py.durable.model import RuntimeStatus
from func_py.hub_client import configured_hub

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


def start(host: HostProcess, name: str, instance_id: str) -> None:
    path = f"/runtime/webhooks/durabletask/orchestrators/{name}/{instance_id}"
    assert host.post(path, {}).status == 202


@pytest.fixture
def hub(root: Path) -> Hub:
    return Hub(root)


def test_without_a_host_the_app_at_hand_is_replayed(root: Path, tmp_path: Path) -> None:
    """The history is made in process, which is faster than a host."""
    shutil.copytree(root, tmp_path, dirs_exist_ok=True, ignore=lambda *_: [".func-py"])

    def blocking(context: Any) -> Generator[Any, Any, Any]:
        yield context.wait_for_external_event("Go")

    async def begin() -> None:
        hub = configured_hub(load_host_config(tmp_path, {}))
        async with Host(hub, {"blocking": blocking}) as host:
            await host.client.start("blocking", instance_id="one")
            await host.wait_for("one", RuntimeStatus.RUNNING)

    asyncio.run(begin())
    (tmp_path / "released").touch()

    done = Hub(tmp_path).run("why", "one", "--app", str(tmp_path))

    assert "- no host runs on this task hub" in done.stdout
    assert "- it waits for the event 'Go', which has not come" in done.stdout


def test_what_runs_in_a_host_is_told_by_the_command_and_by_the_api(
    host: HostProcess, hub: Hub
) -> None:
    start(host, "long_work", "one")

    text = wait_for(lambda: _if_runs(hub.why("one")), "the reason")
    assert "function_app.py:19 in dig: await asyncio.sleep(600)\n" in text

    answer = host.get("/runtime/webhooks/durabletask/instances/one/why")
    assert answer.status == 200
    assert answer.json()["reasons"][0]["kind"] == "activity"
    shown = json.loads(hub.run("why", "one", "--format", "json").stdout)
    assert [reason["kind"] for reason in shown["reasons"]] == ["activity", "fine"]


def _if_runs(text: str) -> str:
    return text if "- activity 'dig' (#0) runs for " in text else ""


def test_a_blocked_event_loop_is_told_with_the_stack_of_the_code(
    host: HostProcess, hub: Hub, root: Path
) -> None:
    start(host, "blocking", "two")
    wait_for((root / "entered").exists, "the orchestrator to block")
    try:
        text = hub.why("two")
    finally:
        (root / "released").touch()

    assert "or longer: orchestrator 'blocking' (instance 'two') blocks its event loop" in text
    assert "function_app.py:31 in blocking: wait_for_file()\n" in text
    assert " in wait_for_file: " in text
    wait_for(lambda: "it waits for the event 'Go'" in hub.why("two"), "the loop to go on")

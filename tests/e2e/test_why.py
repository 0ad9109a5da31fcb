"""`func-py why`, a line of it each, on a real app."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import COMMAND, HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

APP = """
import asyncio
from datetime import timedelta

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


@app.orchestration_trigger(context_name="context")
def sleeper(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(days=1))


@app.orchestration_trigger(context_name="context")
def parent(context):
    yield context.call_sub_orchestrator("listener", None, "the-child")


@app.orchestration_trigger(context_name="context")
def listener(context):
    yield context.wait_for_external_event("Go")


@app.orchestration_trigger(context_name="context")
def failing(context):
    raise ValueError("no luck")
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
    with running_host(root, root / "log") as host:
        yield host


@pytest.fixture
def hub(root: Path) -> Hub:
    return Hub(root)


def is_running(host: HostProcess, instance_id: str) -> bool:
    """Whether its first turn is over."""
    status = host.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")
    return bool(status.json().get("runtimeStatus") == "Running")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("long_work", "- activity 'dig' (#0), asked for at 20"),
        ("sleeper", "- timer #0 until 20"),
        ("parent", "- sub-orchestration 'listener', instance 'the-child': Running"),
        ("listener", "it waits for an external event or an entity. Events that have come"),
    ],
)
def test_what_is_not_answered_is_named(
    host: HostProcess, hub: Hub, name: str, expected: str
) -> None:
    hub.start(name, name)
    wait_for(lambda: is_running(host, name), "the first turn")

    wait_for(lambda: expected in hub.why(name), f"the reason, last: {hub.why(name)}")


def test_a_suspended_instance_says_so_with_the_reason(host: HostProcess, hub: Hub) -> None:
    hub.start("listener", "held")
    wait_for(lambda: is_running(host, "held"), "the first turn")

    hub.run("durable", "suspend", "--id", "held", "--reason", "lunch")

    wait_for(
        lambda: "- it is suspended (lunch): `func-py durable resume`" in hub.why("held"),
        "the reason",
    )


def test_an_end_is_told_with_the_failure(host: HostProcess, hub: Hub) -> None:
    hub.start("failing", "failed")

    wait_for(lambda: "Failed: " in hub.why("failed"), "the end")
    assert "no luck" in hub.why("failed")


def test_an_unknown_instance_is_an_error(host: HostProcess, hub: Hub) -> None:
    done = hub.run("why", "nobody")

    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_without_a_host_that_is_the_reason(root: Path, tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text((root / "host.json").read_text())
    hub = Hub(tmp_path)
    hub.start("listener", "alone")

    assert hub.why("alone") == (
        "- no host runs on this task hub: `func-py start` goes on with it\n"
    )


def test_a_function_that_no_host_has_is_named_with_a_near_miss(
    host: HostProcess, hub: Hub, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "host.json").write_text((root / "host.json").read_text())
    Hub(tmp_path).start("lissener", "misspelt")  # No host: nobody knows the name is wrong.
    (tmp_path / "function_app.py").write_text(APP)
    with running_host(tmp_path, tmp_path / "log"):
        wait_for(
            lambda: "listener" in Hub(tmp_path).why("misspelt"),
            "the reason",
        )

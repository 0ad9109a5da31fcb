"""`func-py pack`: the packed app in an environment of its own, as its Dockerfile says.

No image is built: what the Dockerfile's last stage sets is set here, with the app in a folder that
its user cannot write. `make image-check` runs the same tests in the image that it has built.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image.app import RESULT, Load
from image.containers import SITE, STATE, Image, built_image, container, key_of, stand_in
from support.dockerfile import read_dockerfile
from support.process import COMMAND, HostProcess, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.package, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    built: Path | None = request.config.getoption("--built-image")
    if built is not None:
        yield built_image(built)
        return
    with stand_in() as image:
        yield image


@pytest.fixture
def state(image: Image) -> Path:
    """A volume of the image's user."""
    return image.new_volume()


def lines(host: HostProcess) -> list[dict[str, Any]]:
    """What the host has printed; every line is a JSON object."""
    return [json.loads(line) for line in host.output.splitlines()]


def test_production_asks_for_keys_and_tells_its_health_without(
    image: Image, state: Path, tmp_path: Path
) -> None:
    with container(image, tmp_path / "log", {STATE: state}) as host:
        assert host.get("/admin/health/live").status == 200
        assert host.get("/admin/health/ready").json() == {"status": "Healthy"}
        assert host.get("/admin/host/ping").status == 200
        assert host.get("/api/pause").status == 401
        assert host.get("/admin/host/status").status == 401
        answer = host.request("GET", "/api/pause", headers={"x-functions-key": key_of(state)})
        assert (answer.status, answer.text) == (200, "paused")


def test_secrets_come_from_files_and_local_settings_are_not_there(
    image: Image, state: Path, tmp_path: Path
) -> None:
    assert not (image.folder / "packed" / "site" / "local.settings.json").exists()
    assert not (image.folder / "packed" / "site" / "notes").exists()
    with container(image, tmp_path / "log", {STATE: state}) as host:
        key = {"x-functions-key": key_of(state)}
        assert host.request("GET", "/api/secret", headers=key).text == "from a file"
    told = {"PASSPHRASE": "from the environment"}
    with container(image, tmp_path / "log", {STATE: state}, told) as host:
        assert host.request("GET", "/api/secret", headers=key).text == "from the environment"


def test_the_log_is_json_and_warns_of_a_state_that_is_on_no_volume(
    image: Image, tmp_path: Path
) -> None:
    with container(image, tmp_path / "log", {}) as host:
        wait_for(lambda: "no volume" in host.output, "the warning")
        warning = next(line for line in lines(host) if "no volume" in line["message"])
        ready = next(line for line in lines(host) if "functions" in line)

    assert warning["level"] == "Warning"
    assert "starts with an empty task hub and new keys" in warning["message"]
    assert {f["name"] for f in ready["functions"]} >= {"pause", "flow", "step"}


def test_a_stop_under_load_loses_no_request_and_no_orchestration(
    image: Image, state: Path, tmp_path: Path
) -> None:
    with container(image, tmp_path / "log", {STATE: state}) as host:
        key = key_of(state)
        load = Load(host.url, key)
        load.start()
        wait_for(lambda: len(load.started) > 50, "the load to be on")
        host.send(signal.SIGTERM)
        load.wait()
        assert host.wait() == 0
        assert any(line["message"].startswith("Stopping") for line in lines(host))

    assert load.lost == []
    assert set(load.answers) == {200}
    with container(image, tmp_path / "log", {STATE: state}) as host:
        assert "Unfinished orchestrations that go on" in host.output
        path = f"/runtime/webhooks/durabletask/instances?code={key}&top=100000"

        def finished() -> list[dict[str, Any]] | None:
            instances: list[dict[str, Any]] = host.get(path).json()
            is_over = all(i["runtimeStatus"] == "Completed" for i in instances)
            return instances if is_over else None

        instances = wait_for(finished, "every orchestration to finish")

    assert {i["instanceId"] for i in instances} >= set(load.started)
    assert {i["output"] for i in instances} == {RESULT}


def test_an_app_that_does_not_load_ends_with_1(image: Image, state: Path, tmp_path: Path) -> None:
    broken = image.new_volume()
    (broken / "host.json").write_text('{"version": "2.0"}')
    (broken / "function_app.py").write_text("import not_there\n")

    host = image.start(tmp_path / "log", {STATE: state, SITE: broken})

    assert host.wait() == 1
    assert "No module named 'not_there'" in lines(host)[-1]["message"]


def test_the_same_host_gives_the_same_wheel(image: Image, tmp_path: Path) -> None:
    again = tmp_path / "again"
    subprocess.run(
        [*COMMAND, "pack", str(image.folder / "app"), "--output", str(again)], check=True
    )

    first = next((image.folder / "packed").glob("*.whl"))
    assert first.read_bytes() == (again / first.name).read_bytes()
    assert not (again / "Dockerfile").exists()


def test_the_image_runs_with_the_python_in_use_unless_told(image: Image) -> None:
    stages = read_dockerfile(image.folder / "packed" / "Dockerfile")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    assert [stage.base for stage in stages] == [f"python:{version}-slim"] * 2
    assert stages[-1].last("VOLUME") == stages[-1].environ["FUNC_PY_STATE_DIR"]
    assert stages[-1].last("USER") != "0"
    assert stages[-1].environ["AzureWebJobsScriptRoot"] == SITE

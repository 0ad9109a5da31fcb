"""`func-py pack`: the packed app in an environment of its own, as its Dockerfile says.

No image is built: what the Dockerfile's last stage sets is set here, with the app in a folder that
its user cannot write.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from image.app import RESULT, Load, write_app
from support.dockerfile import Stage, read_dockerfile
from support.process import COMMAND, HostProcess, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.package, pytest.mark.timeout(300)]

SITE = "/home/site/wwwroot"


@dataclass(frozen=True)
class Image:
    """What stands for a built image: an environment, the app, and the Dockerfile's last stage."""

    folder: Path
    stage: Stage

    def environ(self, state: Path, port: int) -> dict[str, str]:
        """The environment of a container."""
        return {
            **self.stage.environ,
            "PATH": f"{self.folder / 'venv' / 'bin'}:/usr/bin:/bin",
            "HOME": str(state),
            "AzureWebJobsScriptRoot": str(self.folder / "packed" / "site"),
            "FUNC_PY_STATE_DIR": str(state),
            "FUNC_PY_SECRETS_DIR": str(self.folder / "secrets"),
            "PORT": str(port),
        }


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    folder = Path(tempfile.mkdtemp(prefix="func-py-packed-"))
    try:
        write_app(folder / "app")
        packed = folder / "packed"
        subprocess.run(
            [*COMMAND, "pack", str(folder / "app"), "--docker", "--output", str(packed)], check=True
        )
        last = read_dockerfile(packed / "Dockerfile")[-1]
        venv.create(folder / "venv", with_pip=True, symlinks=True)
        pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet"]
        wheel = next(packed.glob("*.whl"))
        subprocess.run(
            [*pip, "--disable-pip-version-check", str(wheel), "-r", "requirements.txt"],
            check=True,
            cwd=packed,
        )
        (folder / "secrets").mkdir()
        (folder / "secrets" / "PASSPHRASE").write_text("from a file\n")
        for path in (packed / "site", *(packed / "site").rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield Image(folder, last)
    finally:
        for path in (folder / "packed" / "site").rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture
def state(image: Image) -> Path:
    """A volume of the image's user."""
    return Path(tempfile.mkdtemp(prefix="state-", dir=image.folder))


@contextmanager
def container(
    image: Image, state: Path, tmp_path: Path, environ: Mapping[str, str] | None = None
) -> Iterator[HostProcess]:
    """The image's command, with its environment and without the rights of a root."""
    port = free_port()
    variables = {**image.environ(state, port), **(environ or {})}
    # The files stay ours, but what their modes forbid is forbidden.
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*bare, "env", "-i", *(f"{k}={v}" for k, v in variables.items())]
    host = HostProcess(
        image.folder / "packed" / "site",
        tmp_path / f"log-{port}",
        command=[*command, *image.stage.command],
        whole=True,
    )
    try:
        host.wait_until_ready()
        yield host
    finally:
        host.kill()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def key_of(state: Path) -> str:
    """The master key that the host has made on its volume."""
    keys: dict[str, Any] = json.loads((state / "keys" / "host.json").read_text())
    return str(keys["masterKey"]["value"])


def lines(host: HostProcess) -> list[dict[str, Any]]:
    """What the host has printed; every line is a JSON object."""
    return [json.loads(line) for line in host.output.splitlines()]


def test_production_asks_for_keys_and_tells_its_health_without(
    image: Image, state: Path, tmp_path: Path
) -> None:
    with container(image, state, tmp_path) as host:
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
    with container(image, state, tmp_path) as host:
        key = {"x-functions-key": key_of(state)}
        assert host.request("GET", "/api/secret", headers=key).text == "from a file"
    with container(image, state, tmp_path, {"PASSPHRASE": "from the environment"}) as host:
        assert host.request("GET", "/api/secret", headers=key).text == "from the environment"


def test_the_log_is_json_and_warns_of_a_state_that_is_on_no_volume(
    image: Image, state: Path, tmp_path: Path
) -> None:
    with container(image, state, tmp_path) as host:
        wait_for(lambda: "not on a volume" in host.output, "the warning")
        warning = next(line for line in lines(host) if "not on a volume" in line["message"])
        ready = next(line for line in lines(host) if "functions" in line)

    assert warning["level"] == "Warning"
    assert "starts with an empty task hub and new keys" in warning["message"]
    assert {f["name"] for f in ready["functions"]} >= {"pause", "flow", "step"}


def test_a_stop_under_load_loses_no_request_and_no_orchestration(
    image: Image, state: Path, tmp_path: Path
) -> None:
    with container(image, state, tmp_path) as host:
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
    with container(image, state, tmp_path) as host:
        path = f"/runtime/webhooks/durabletask/instances?code={key}&top=100000"

        def finished() -> list[dict[str, Any]] | None:
            instances: list[dict[str, Any]] = host.get(path).json()
            is_over = all(i["runtimeStatus"] == "Completed" for i in instances)
            return instances if is_over else None

        instances = wait_for(finished, "every orchestration to finish")

    assert {i["instanceId"] for i in instances} >= set(load.started)
    assert {i["output"] for i in instances} == {RESULT}


def test_an_app_that_does_not_load_ends_with_1(image: Image, state: Path, tmp_path: Path) -> None:
    broken = image.folder / "broken"
    broken.mkdir()
    (broken / "host.json").write_text('{"version": "2.0"}')
    (broken / "function_app.py").write_text("import not_there\n")
    environ = {**image.environ(state, free_port()), "AzureWebJobsScriptRoot": str(broken)}

    done = subprocess.run(
        image.stage.command, env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "No module named 'not_there'" in json.loads(done.stdout)["message"]


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

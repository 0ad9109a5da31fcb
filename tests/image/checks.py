"""What only a built image shows; `make image-check` runs these after `e2e/test_packed.py`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from image.containers import STATE, BuiltImage, Container, built_image, container, key_of
from support.process import wait_for


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest) -> BuiltImage:
    return built_image(request.config.getoption("--built-image"))


@pytest.fixture
def state(image: BuiltImage) -> Path:
    return image.new_volume()


def test_the_host_is_process_1_and_has_no_rights(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    host = image.start(tmp_path / "log", {STATE: state})
    try:
        host.wait_until_ready()
        status = Path(f"/proc/{host.main_pid}/status").read_text()
    finally:
        host.kill()

    assert re.search(r"^NSpid:.*\s1$", status, re.MULTILINE)
    assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)


def test_a_container_that_is_stopped_at_its_start_ends_at_once(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    host = image.start(tmp_path / "log", {STATE: state})
    try:
        wait_for(lambda: handles(host, signal.SIGTERM), "a handler")
        host.send(signal.SIGTERM)

        assert host.wait() in (0, 128 + signal.SIGTERM)
    finally:
        host.kill()


def handles(host: Container, number: signal.Signals) -> bool:
    """Whether the main process does something on a signal."""
    try:
        status = Path(f"/proc/{host.main_pid}/status").read_text()
    except IndexError:  # It has not begun.
        return False
    (mask,) = re.findall(r"^SigCgt:\s+(\w+)$", status, re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    "environ", [{}, {"PORT": "8080"}, {"ASPNETCORE_URLS": "http://*:8080"}], ids=" ".join
)
def test_the_health_check_tells_a_live_host_from_none(
    image: BuiltImage, state: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    probe = image.words({}, environ, image.stage.health_check)
    with container(image, tmp_path / "log", {STATE: state}, environ):
        alive = subprocess.run(probe, capture_output=True, check=False)
    dead = subprocess.run(probe, capture_output=True, check=False)

    assert (alive.returncode, dead.returncode) == (0, 1)


def test_a_volume_that_the_user_cannot_write_is_refused_with_its_name(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    os.chown(state, 0, 0)
    host = image.start(tmp_path / "log", {STATE: state})

    assert host.wait() == 1
    message = json.loads(host.output.splitlines()[-1])["message"]
    assert STATE in message
    assert "Permission denied" in message


def test_a_volume_that_nobody_has_named_is_warned_of(image: BuiltImage, tmp_path: Path) -> None:
    """An engine makes one for the image's VOLUME, and another one for the next container."""
    unnamed = image.new_volume() / "volumes" / f"{7:064x}" / "_data"
    unnamed.mkdir(parents=True)
    os.chown(unnamed, int(image.stage.last("USER")), -1)

    with container(image, tmp_path / "log", {STATE: unnamed}) as host:
        wait_for(lambda: "on no volume that outlives the container" in host.output, "the warning")


def test_a_volume_with_a_name_is_not_warned_of(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    with container(image, tmp_path / "log", {STATE: state}) as host:
        host.send(signal.SIGTERM)
        assert host.wait() == 0

    assert "no volume" not in host.output


def test_a_file_system_that_is_read_only_but_for_tmp_is_enough(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    volumes = {STATE: state, "/tmp": image.new_volume()}
    with container(image, tmp_path / "log", volumes, read_only=True) as host:
        key = {"x-functions-key": key_of(state)}
        assert host.request("GET", "/api/pause", headers=key).text == "paused"


def test_without_a_folder_for_temporary_files_the_start_says_what_to_mount(
    image: BuiltImage, state: Path, tmp_path: Path
) -> None:
    host = image.start(tmp_path / "log", {STATE: state}, read_only=True)

    assert host.wait() == 1
    assert "mount one at /tmp" in host.output

"""What decides that a host is in production, and what it then reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from func_py.config.local_settings import LocalSettings, is_production, settings_for
from func_py.config.state_dir import is_volatile, unnamed_volumes
from func_py.errors import ConfigError
from func_py.supervisor.launch import LaunchOptions, listening_place

PRODUCTION = {"AZURE_FUNCTIONS_ENVIRONMENT": "Production"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [("", False), ("Development", False), ("Production", True), ("Staging", True)],
)
def test_only_the_real_environment_decides(environment: str, expected: bool) -> None:
    assert is_production({"AZURE_FUNCTIONS_ENVIRONMENT": environment}) is expected


def test_production_reads_no_local_settings(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "local"}}')

    assert settings_for(tmp_path, {}).values == {"A": "local"}
    assert settings_for(tmp_path, PRODUCTION).values == {}


def test_files_with_secrets_are_settings_and_beat_local_ones(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "local", "B": "local"}}')
    secrets = tmp_path / "secrets"
    (secrets / "kubernetes.io").mkdir(parents=True)
    (secrets / ".hidden").write_text("x")
    (secrets / "A").write_text("a secret\n")

    settings = settings_for(tmp_path, {"FUNC_PY_SECRETS_DIR": str(secrets)})

    assert settings.values == {"A": "a secret", "B": "local"}


def test_a_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "KEY").write_bytes(b"\xff\xfe\xff")

    with pytest.raises(ConfigError, match="KEY: cannot be read"):
        settings_for(tmp_path, {**PRODUCTION, "FUNC_PY_SECRETS_DIR": str(tmp_path)})


def test_production_listens_everywhere_unless_told(tmp_path: Path) -> None:
    place = listening_place(LaunchOptions(), LocalSettings(), {**PRODUCTION, "PORT": "80"})
    told = listening_place(LaunchOptions(address="127.0.0.1"), LocalSettings(), PRODUCTION)

    assert place == ("0.0.0.0", 80)
    assert told == ("127.0.0.1", 7071)


def test_in_a_container_a_folder_on_no_volume_goes_away_with_it(tmp_path: Path) -> None:
    in_container = {"DOTNET_RUNNING_IN_CONTAINER": "true"}

    assert is_volatile(Path("/nowhere/state"), in_container)
    assert not is_volatile(Path("/proc/state"), in_container)  # Below a mount.


def test_a_volume_that_an_engine_has_named_with_64_digits_goes_away_too() -> None:
    docker = "/var/lib/docker/volumes"
    table = f"""\
21 1 254:1 / / rw - ext4 /dev/vda rw
22 21 254:1 {docker}/{"0f" * 32}/_data /home/state rw,relatime - ext4 /dev/vda rw
23 21 254:1 {docker}/{"ab" * 32}/_data /hidden rw - ext4 /dev/vda rw
24 21 254:1 {docker}/orders/_data /hidden rw - ext4 /dev/vda rw
"""

    assert unnamed_volumes(table) == {Path("/home/state")}

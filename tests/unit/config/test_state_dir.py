"""Where the state directory is, for a host and for a command beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from func_py.config.host_json import load_host_config
from func_py.config.state_dir import find_state_dir

HOST_JSON = """{"version": "2.0", // a comment
 "Extensions": {"durabletask": {"storageProvider": {"path": "%PLACE%/state"}}}}"""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PLACE": "here"}, "here/state"),
        ({"PLACE": "here", "FUNC_PY_STATE_DIR": "there"}, "there"),
        (
            {
                "PLACE": "here",
                "AzureFunctionsJobHost__extensions__durableTask__storageProvider__path": "mine",
            },
            "mine",
        ),
    ],
)
def test_a_command_finds_the_directory_that_the_host_uses(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    (tmp_path / "host.json").write_text(HOST_JSON)

    assert find_state_dir(tmp_path, environ) == tmp_path / expected
    assert load_host_config(tmp_path, environ).state_dir == tmp_path / expected


def test_without_host_json_it_is_the_default(tmp_path: Path) -> None:
    assert find_state_dir(tmp_path, {}) == tmp_path / ".func-py"

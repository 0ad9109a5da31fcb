"""The wheel in an environment of its own: what a user gets from `pip install`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from support.process import running_host

pytestmark = [pytest.mark.e2e, pytest.mark.package, pytest.mark.timeout(300)]

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(REPOSITORY)], check=True, cwd=folder)
    return next(folder.glob("func_py-*.whl"))


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}

    assert tops == {"func_py", "func_py_bindings"}
    assert {"func_py/py.typed", "func_py_bindings/py.typed"} <= set(names)


def test_a_fresh_environment_serves_a_copied_sample(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    bin_folder = tmp_path / "venv" / "bin"
    install = [str(bin_folder / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--disable-pip-version-check", str(wheel)], check=True)
    root = shutil.copytree(REPOSITORY / "function_apps" / "hello_http", tmp_path / "hello")

    command = [str(bin_folder / "func-py")]
    with running_host(root, tmp_path / "log", command=command) as host:
        assert host.get("/api/hello/Ada").text == "Hello, Ada!"

"""The files of a new app."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from func_py.config.host_json import load_host_config
from func_py.config.local_settings import load_local_settings
from func_py.errors import UserError
from func_py.scaffold import write_project

FILES = [
    "host.json",
    "local.settings.json",
    ".gitignore",
    ".funcignore",
    "requirements.txt",
    "function_app.py",
]


def test_a_new_app_has_the_files_that_the_host_and_azure_need(tmp_path: Path) -> None:
    written = write_project(tmp_path / "new" / "app")

    assert [w.file for w in written if w.is_new] == FILES
    assert load_host_config(tmp_path / "new" / "app", {}).warnings == ()
    settings = load_local_settings(tmp_path / "new" / "app")
    assert settings.values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert json.loads((tmp_path / "new" / "app" / "host.json").read_text())["extensionBundle"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_exist_are_left_alone_unless_forced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "function_app.py").write_text("mine")

    written = write_project(tmp_path, overwrite=overwrite)

    assert [w.file for w in written if not w.is_new] == ([] if overwrite else ["function_app.py"])
    assert ((tmp_path / "function_app.py").read_text() == "mine") is not overwrite


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="cannot be written"):
        write_project(tmp_path / "file" / "app")

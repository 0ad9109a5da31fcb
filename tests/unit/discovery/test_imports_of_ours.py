"""What the host imports after the app, though the app has modules of the same names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.apps import import_state, write_app

from func_py.discovery import imports_of_ours, load_app

APP = """
import colorsys
import shelve_of_mine

@app.activity_trigger(input_name="x")
def f(x): ...
"""


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    with import_state():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An app, loaded, with two modules that others have too and one that only it has."""
    sys.modules.pop("colorsys", None)
    sys.modules.pop("nturl2path", None)
    files = {f"{name}.py": "" for name in ("colorsys", "nturl2path", "shelve_of_mine")}
    load_app(write_app(tmp_path, APP, files))
    return tmp_path


def test_the_apps_files_are_not_found(root: Path) -> None:
    with imports_of_ours({root}):
        import nturl2path

    assert not str(nturl2path.__file__).startswith(str(root))


def test_modules_that_the_app_has_loaded_are_not_taken_for_others(root: Path) -> None:
    with imports_of_ours({root}):
        import colorsys

    assert not str(colorsys.__file__).startswith(str(root))


def test_the_app_has_its_path_and_modules_back(root: Path) -> None:
    path, mine = list(sys.path), sys.modules["shelve_of_mine"]
    with imports_of_ours({root}):
        pass

    assert sys.path == path
    assert sys.modules["shelve_of_mine"] is mine

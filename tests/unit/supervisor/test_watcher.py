"""Which files of an app reload it, and that they are noticed however they are saved."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.process import wait_for

from func_py.supervisor.protocol import Ready, WatchRules
from func_py.supervisor.watcher import FileFilter, Watcher, watching

RULES = WatchRules(directories=("templates",), files=("prompts.yaml",))


class Silence:
    """An announcer that is not listened to."""

    def ready(self, report: Ready) -> None: ...

    def reloaded(self, report: Ready, before: Ready) -> None: ...

    def say(self, text: str) -> None: ...

    def complain(self, text: str) -> None:
        raise AssertionError(text)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("function_app.py", True),
        ("shared/deep/helper.py", True),
        ("host.json", True),
        ("local.settings.json", True),
        ("Http/function.json", True),
        ("function_apps/orders/function_app.py", True),
        ("templates/mail/hello.txt", True),
        ("deep/prompts.yaml", True),
        ("readme.md", False),
        ("deep/templates/hello.txt", False),
        (".venv/lib/python3.11/site-packages/x.py", False),
        ("myenv/lib/x.py", False),
        ("node_modules/x/function.json", False),
        ("__pycache__/function_app.cpython-311.py", False),
        (".func-py/hub.py", False),
        (".function_app.py.tmp", False),
        (".#function_app.py", False),
        ("function_app.py~", False),
        ("../elsewhere/function_app.py", False),
    ],
)
def test_what_counts_as_a_change(tmp_path: Path, path: str, counts: bool) -> None:
    (tmp_path / "myenv").mkdir()
    (tmp_path / "myenv" / "pyvenv.cfg").touch()
    file_filter = FileFilter(tmp_path)
    file_filter.rules = RULES

    assert file_filter(str(tmp_path / path)) is counts


def test_nothing_counts_where_host_json_says_so(tmp_path: Path) -> None:
    file_filter = FileFilter(tmp_path)
    file_filter.rules = WatchRules(is_enabled=False, files=("prompts.yaml",))

    assert not file_filter(str(tmp_path / "function_app.py"))
    assert not file_filter(str(tmp_path / "prompts.yaml"))


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Watcher]:
    with watching(tmp_path, Silence()) as watcher:
        probe = tmp_path / "probe.py"

        def is_watching() -> bool:
            probe.touch()
            return bool(watcher.take())

        wait_for(is_watching, "the watch to begin")
        # What the probes have caused comes before what this one does.
        (tmp_path / "last.py").touch()
        wait_for(lambda: any("last" in path for path in watcher.take()), "the last probe")
        yield watcher


def save_in_place(file: Path) -> None:
    file.write_text("x = 2")


def save_by_renaming(file: Path) -> None:
    beside = file.with_name("4913")
    beside.write_text("x = 2")
    beside.replace(file)


def delete(file: Path) -> None:
    file.unlink()


def make_in_a_new_folder(file: Path) -> None:
    (file.parent / "new").mkdir()
    (file.parent / "new" / "app.py").write_text("x = 2")


@pytest.mark.parametrize("change", [save_in_place, save_by_renaming, delete, make_in_a_new_folder])
def test_a_change_wakes_whoever_waits(
    watcher: Watcher, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = tmp_path / "app.py"
    file.write_text("x = 1")
    wait_for(lambda: any("app.py" in path for path in watcher.take()), "the first save")

    change(file)

    readable, _, _ = select.select([watcher], [], [], 10)
    assert readable
    wait_for(lambda: any("app.py" in path for path in watcher.take()), "the change")

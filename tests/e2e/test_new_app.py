"""From nothing to a finished orchestration and an entity, as the README says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.process import COMMAND, running_host, wait_for

pytestmark = pytest.mark.e2e

ENTITY = "/runtime/webhooks/durabletask/entities/counter/my"


def func_py(folder: Path, *arguments: str) -> None:
    subprocess.run([*COMMAND, *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL)


def test_an_app_that_was_begun_by_commands_runs_what_was_added(tmp_path: Path) -> None:
    func_py(tmp_path, "init", "my_app")
    root = tmp_path / "my_app"
    func_py(root, "new", "--template", "orchestration", "--name", "tour")
    func_py(root, "new", "--template", "starter", "--name", "begin")
    func_py(root, "new", "--template", "entity", "--name", "counter")

    with running_host(root, tmp_path / "log") as host:
        final = host.wait_for_end_of(host.post("/api/begin/tour"))

        assert final["output"] == ["Hello, Tokyo!", "Hello, London!"]
        host.post(f"{ENTITY}?op=add", 3)
        assert wait_for(lambda: host.get(ENTITY).text or None, "the entity") == "3"

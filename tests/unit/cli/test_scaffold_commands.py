"""`func-py init` and `func-py new`: what they print and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from func_py import cli
from func_py.errors import UserError


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.commands, arguments)


def test_init_says_what_it_writes_and_what_it_leaves_alone(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{}")

    lines = run("init", "--python", "-m", "V2").output.splitlines()

    assert lines[:2] == [
        "host.json already exists. Skipped!",
        "Writing local.settings.json",
    ]
    assert (tmp_path / "function_app.py").exists()


def test_init_can_make_the_folder_and_overwrite(tmp_path: Path) -> None:
    run("init", "app")

    assert "Skipped" not in run("init", "app", "--force").output
    assert (tmp_path / "app" / "host.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "--worker-runtime", "node"), "it cannot begin one for 'node'"),
        (("init", "--model", "V1"), "The programming model of new apps is V2"),
        (("new", "--name", "x"), "--template and --name must be given"),
        (("new", "-t", "soap", "-n", "x"), 'Can\'t find template "soap" in "python".'),
    ],
)
def test_what_cannot_be_begun_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.parametrize("command", [("new",), ("function", "new"), ("function", "create")])
def test_new_adds_a_function_and_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*command, "--template", "HTTP trigger", "--name", "hello", "-a", "anonymous")

    assert result.output == (
        'The function "hello" was created successfully from the "http" template.\n'
    )
    assert "AuthLevel.ANONYMOUS" in (tmp_path / "function_app.py").read_text()


def test_new_lists_its_templates() -> None:
    assert "orchestration  an orchestrator with an activity of its own" in run(
        "new", "--help"
    ).output.replace("\n", " ").replace("   ", " ")

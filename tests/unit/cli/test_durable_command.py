"""`func-py durable`: how it reads its arguments, what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from func_py import cli
from func_py.errors import TaskHubNotFound, UserError

Durable = Callable[..., Result]


@pytest.fixture
def durable(tmp_path: Path) -> Durable:
    """Runs a command for the app in the test's folder."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')

    def run(*arguments: str) -> Result:
        where = ("--script-root", str(tmp_path))
        return CliRunner().invoke(cli.commands, ["durable", *arguments, *where])

    return run


@pytest.fixture
def started(durable: Durable) -> Durable:
    """The same, with one instance in the hub."""
    result = durable("start-new", "--function-name", "tour", "--id", "a", "--input", '{"x": 1}')
    assert result.exit_code == 0, result.output
    return durable


def shown(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_start_tells_that_no_host_runs(durable: Durable) -> None:
    result = durable("start-new", "--function-name", "tour", "--id", "a")

    assert result.stdout.startswith("Started 'tour' at ")
    assert result.stderr == (
        "No host runs on the task hub 'TestHubName': the next one takes it up.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ([], set()),
        (["--show-input"], {"input"}),
        (["--show-input", "true", "--show-output"], {"input", "output"}),
        (["--show-input=false", "--show-output=TRUE"], {"output"}),
    ],
)
def test_status_flags_stand_alone_or_have_a_value(
    started: Durable, arguments: list[str], keys: set[str]
) -> None:
    status = shown(started("get-runtime-status", *arguments, "--id", "a"))

    assert status["runtimeStatus"] == "Pending"
    assert status.keys() & {"input", "output"} == keys


@pytest.mark.parametrize(
    ("written", "value"),
    [("5", 5), ("five", "five"), ('"5"', "5"), ("[1]", [1]), ("@input.json", {"from": "file"})],
)
def test_input_is_json_or_text_or_a_file(
    durable: Durable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    value: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.json").write_text('{"from": "file"}')
    durable("start-new", "--function-name", "tour", "--id", "a", "--input", written)

    stored = shown(durable("get-runtime-status", "--id", "a", "--show-input"))["input"]

    assert (json.loads(stored) if isinstance(stored, str) else stored) == value


def test_pages_go_on_where_the_last_one_ended(durable: Durable) -> None:
    for instance_id in ("a", "b", "c"):
        durable("start-new", "--function-name", "tour", "--id", instance_id)

    first = durable("get-instances", "--top", "2")
    token = first.stderr.split("'")[1]
    rest = durable("get-instances", "--continuation-token", token)

    assert first.stderr.startswith("Continuation token for next set of results: '")
    assert [item["instanceId"] for item in shown(first)] == ["a", "b"]
    assert [item["instanceId"] for item in shown(rest)] == ["c"]
    assert rest.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--runtime-status", "completed Pending"], 1),
        (["--runtime-status", "completed,failed"], 0),
        (["--created-after", "2000-01-01", "--created-before", "2100-01-01T00:00:00+02:00"], 1),
        (["--created-after", "2100-01-01"], 0),
    ],
)
def test_instances_are_selected(started: Durable, arguments: list[str], found: int) -> None:
    assert len(shown(started("get-instances", *arguments))) == found


def test_a_history_is_json(started: Durable) -> None:
    assert shown(started("get-history", "--id", "a")) == []


def test_entities_are_json(started: Durable) -> None:
    started("signal-entity", "--entity-name", "c", "--entity-key", "k", "--operation-name", "add")

    assert shown(started("get-entities", "--show-state")) == []


def test_another_hub_can_be_named(started: Durable) -> None:
    started("start-new", "--function-name", "tour", "--id", "b", "--task-hub-name", "Other")

    assert [item["instanceId"] for item in shown(started("get-instances"))] == ["a"]
    other = shown(started("get-instances", "--task-hub-name", "Other"))
    assert [item["instanceId"] for item in other] == ["b"]


def test_a_connection_means_nothing_to_the_embedded_hub(started: Durable) -> None:
    result = started("get-instances", "--connection-string-setting", "AzureWebJobsStorage")

    assert len(shown(result)) == 1
    assert result.stderr == (
        "The embedded task hub has no connection: --connection-string-setting is ignored.\n"
    )


def test_the_hub_is_deleted_with_all_that_is_in_it(started: Durable, tmp_path: Path) -> None:
    (tmp_path / ".func-py" / "TestHubName.hand").mkdir()

    result = started("delete-task-hub")

    assert result.stdout == "Task hub 'TestHubName' successfully deleted.\n"
    assert list((tmp_path / ".func-py").iterdir()) == []
    assert isinstance(started("delete-task-hub").exception, TaskHubNotFound)


def test_on_a_terminal_destruction_is_asked_for(
    started: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("func_py.cli.durable.hub._is_terminal", lambda: True)

    for command in ("delete-task-hub", "purge-history"):
        assert started(command).exit_code == 1
    assert len(shown(started("get-instances"))) == 1
    assert started("delete-task-hub", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("get-runtime-status", "--id", "x"), "Could not find an orchestration instance with id"),
        (("purge-history", "--id", "a"), "in the Pending state, not finished."),
        (("start-new", "--function-name", "t", "--input", "@no.json"), "Could not find input file"),
        (("get-instances", "--continuation-token", "?"), "The continuation token is not one"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    started: Durable, arguments: tuple[str, ...], message: str
) -> None:
    result = started(*arguments)

    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("start-new",),
        ("get-instances", "--created-after", "yesterday"),
        ("get-instances", "--top", "0"),
        ("purge-history", "--recursive"),
        ("purge-history", "--id", "a", "--runtime-status", "failed"),
    ],
)
def test_wrong_arguments_are_a_usage_error(started: Durable, arguments: tuple[str, ...]) -> None:
    assert started(*arguments).exit_code == 2


def test_every_command_has_help() -> None:
    result = CliRunner().invoke(cli.commands, ["durable", "--help"])

    names = [line.split()[0] for line in result.output.split("Commands:")[1].splitlines() if line]
    assert len(names) == 15
    for name in names:
        assert CliRunner().invoke(cli.commands, ["durable", name, "--help"]).exit_code == 0

"""What the command line makes of its arguments, of errors, and of a ready app."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import func_py
from func_py import cli
from func_py.cli.console import Console
from func_py.errors import (
    ConfigError,
    InternalError,
    SchemaMismatch,
    StorageUnavailable,
    UserError,
)
from func_py.supervisor.exits import BUG_NOTICE
from func_py.supervisor.launch import LaunchOptions
from func_py.supervisor.protocol import FunctionLine, Ready

Launched = Callable[..., LaunchOptions]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """Runs the command; the options it would launch with."""

    def run(*arguments: str) -> LaunchOptions:
        seen: list[LaunchOptions] = []

        def launch(options: LaunchOptions, announcer: object) -> int:
            seen.append(options)
            return 0

        monkeypatch.setattr("func_py.cli.start.launch", launch)
        result = CliRunner().invoke(cli.commands, arguments)
        assert result.exit_code == 0, result.output
        return seen[0]

    return run


def test_nothing_said_leaves_everything_to_the_settings(launched: Launched) -> None:
    assert launched("start") == LaunchOptions()


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "app", "-p", "80", "--address", "0.0.0.0", "--enable-auth", "--verbose"),
        (
            "host",
            "start",
            "app",
            "--port",
            "80",
            "--address",
            "0.0.0.0",
            "--enableAuth",
            "--verbose",
        ),
        ("start", "--script-root", "app", "-p80", "--address=0.0.0.0", "--enableAuth", "--verbose"),
        ("start", "--prefix", "app", "-p", "80", "--address=0.0.0.0", "--enableAuth", "--verbose"),
    ],
)
def test_our_spelling_and_that_of_core_tools_mean_the_same(
    launched: Launched, arguments: tuple[str, ...]
) -> None:
    assert launched(*arguments) == LaunchOptions(
        app_root=Path("app"), port=80, address="0.0.0.0", enable_auth=True, verbose=True
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "app", "--functions", "a", "B", "--verbose"),
        ("start", "app", "--functions", "a", "--functions", "B", "--verbose"),
        ("start", "app", "--functions=a", "--verbose", "--functions", "B"),
    ],
)
def test_functions_are_a_list_in_every_form(launched: Launched, arguments: tuple[str, ...]) -> None:
    assert launched(*arguments) == LaunchOptions(
        app_root=Path("app"), functions=("a", "B"), verbose=True
    )


def test_origins_are_separated_by_commas(launched: Launched) -> None:
    options = launched("start", "--cors", "http://a:3000,http://b/", "--cors-credentials")

    assert options == LaunchOptions(cors=("http://a:3000", "http://b"), cors_credentials=True)


def test_the_level_of_functions_comes_from_the_environment_too(
    launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launched("start", "--user-log-level", "debug").user_log_level == "Debug"
    monkeypatch.setenv("FUNCTIONS_USER_LOG_LEVEL", "Error")
    assert launched("start").user_log_level == "Error"


def test_what_concerns_development_reaches_the_supervisor(launched: Launched) -> None:
    assert launched("start", "--no-reload").reload is False
    assert launched("start", "--reload", "--workers", "3") == LaunchOptions(reload=True, workers=3)
    assert launched("start", "--debugpy", "5678") == LaunchOptions(debugpy=5678)


@pytest.mark.parametrize("listen", ["5678", "127.0.0.1:5678", "0.0.0.0:5678 --wait-for-client"])
def test_editors_ask_for_a_debugger_as_they_ask_core_tools(
    launched: Launched, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = f"-m debugpy --listen {listen}"

    assert launched("start", "--language-worker", worker) == LaunchOptions(debugpy=5678)
    monkeypatch.setenv("languageWorkers__python__arguments", worker)
    assert launched("start") == LaunchOptions(debugpy=5678)


def test_options_of_core_tools_that_mean_nothing_here_are_accepted(launched: Launched) -> None:
    options = launched(
        "start", "--python", "--no-build", "-t", "300", "--runtime", "default", "--debug",
        "--enable-json-output", "--json-output-file", "x.json", "--language-worker", "--",
    )  # fmt: skip

    assert options == LaunchOptions()


def test_another_runtime_is_refused() -> None:
    result = CliRunner().invoke(cli.commands, ["start", "--runtime", "inproc8"])

    assert isinstance(result.exception, UserError)
    assert "'inproc8', is invalid" in str(result.exception)


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version_prints_the_version_alone(flag: str) -> None:
    assert CliRunner().invoke(cli.commands, [flag]).output == f"{func_py.__version__}\n"


@pytest.mark.parametrize(
    ("error", "exit_code", "shown"),
    [
        (ConfigError("host.json", "version", "is odd"), 1, "host.json: version: is odd\n"),
        (StorageUnavailable("the disk is full"), 3, "the disk is full\n"),
        (SchemaMismatch("x.db", "schema 9", "schema 1"), 1, "or another hubName.\n"),
        (InternalError("a bug"), 70, f"a bug\n{BUG_NOTICE}\n"),
        (ZeroDivisionError("0"), 70, f"ZeroDivisionError: 0\n{BUG_NOTICE}\n"),
    ],
)
def test_the_exit_code_tells_the_kind_of_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    exit_code: int,
    shown: str,
) -> None:
    def launch(options: LaunchOptions, announcer: object) -> int:
        raise error

    monkeypatch.setattr("func_py.cli.start.launch", launch)
    monkeypatch.setattr("sys.argv", ["func-py", "start"])

    with pytest.raises(SystemExit) as raised:
        cli.main()

    assert raised.value.code == exit_code
    assert capsys.readouterr().err.endswith(shown)


def test_functions_are_listed_by_name_with_http_first(capsys: pytest.CaptureFixture[str]) -> None:
    Console().ready(
        Ready(
            functions=(
                FunctionLine(name="Beta", trigger="httpTrigger", url="http://h/api/b"),
                FunctionLine(name="act", trigger="activityTrigger"),
                FunctionLine(name="off", trigger="httpTrigger", url="http://h", is_disabled=True),
                FunctionLine(
                    name="alpha",
                    trigger="httpTrigger",
                    methods=("GET", "POST"),
                    url="http://h/api/a",
                ),
            ),
            facts=("Logs: here",),
        )
    )

    assert capsys.readouterr().out == (
        f"\nfunc-py {func_py.__version__}\n"
        "\nFunctions:\n\n"
        "\talpha: [GET,POST] http://h/api/a\n\n"
        "\tBeta:  http://h/api/b\n\n"
        "\tact: activityTrigger\n\n"
        "Function off is disabled.\n"
        "Logs: here\n"
        "Press Ctrl+C to stop.\n\n"
    )

"""Where a host listens: the command line, local settings, and what containers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from func_py.cli.console import Console
from func_py.config.local_settings import LocalSettings
from func_py.errors import UserError
from func_py.supervisor.launch import (
    LaunchOptions,
    exposure_notice,
    launch,
    listening_place,
    worker_count,
)

SETTINGS = LocalSettings(port=2, address="127.0.0.2")
URLS = {"ASPNETCORE_URLS": "http://127.0.0.3:3"}


@pytest.mark.parametrize(
    ("options", "settings", "environ", "place"),
    [
        (LaunchOptions(port=0, address="127.0.0.1"), SETTINGS, URLS, ("127.0.0.1", 0)),
        (LaunchOptions(), SETTINGS, URLS, ("127.0.0.2", 2)),
        (LaunchOptions(), LocalSettings(), URLS, ("127.0.0.3", 3)),
        (LaunchOptions(), LocalSettings(), {}, ("127.0.0.1", 7071)),
        (LaunchOptions(), LocalSettings(), {"PORT": "4"}, ("127.0.0.1", 4)),
    ],
)
def test_the_nearest_word_counts(
    options: LaunchOptions,
    settings: LocalSettings,
    environ: dict[str, str],
    place: tuple[str, int],
) -> None:
    assert listening_place(options, settings, environ) == place


@pytest.mark.parametrize(
    ("urls", "place"),
    [
        ("http://*:8080", ("0.0.0.0", 8080)),
        ("http://+:80/", ("0.0.0.0", 80)),
        ("http://localhost", ("127.0.0.1", 80)),
        ("http://[::1]:81", ("::1", 81)),
        ("https://+:443;http://+:82", ("0.0.0.0", 82)),
    ],
)
def test_urls_of_container_images_are_understood(urls: str, place: tuple[str, int]) -> None:
    assert listening_place(LaunchOptions(), LocalSettings(), {"ASPNETCORE_URLS": urls}) == place


def test_urls_without_plain_http_are_refused() -> None:
    with pytest.raises(UserError, match="expected a URL such as"):
        listening_place(LaunchOptions(), LocalSettings(), {"ASPNETCORE_URLS": "https://+:443"})


@pytest.mark.parametrize(
    ("address", "enable_auth", "environment", "is_told"),
    [
        ("0.0.0.0", False, "Development", True),
        ("192.168.1.2", False, "development", True),
        ("127.0.0.2", False, "Development", False),
        ("::1", False, "Development", False),
        ("0.0.0.0", True, "Development", False),
        ("0.0.0.0", False, "Production", False),
    ],
)
def test_a_host_that_is_open_to_others_says_so(
    address: str, enable_auth: bool, environment: str, is_told: bool
) -> None:
    environ = {"AZURE_FUNCTIONS_ENVIRONMENT": environment}

    assert bool(exposure_notice(address, enable_auth, environ)) is is_told


@pytest.mark.parametrize(("text", "count"), [("", 1), ("1", 1), ("10", 10)])
def test_the_environment_says_how_many_processes_serve(text: str, count: int) -> None:
    assert worker_count({"FUNCTIONS_WORKER_PROCESS_COUNT": text}) == count


@pytest.mark.parametrize("text", ["0", "11", "-1", "many"])
def test_a_count_of_processes_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"expected a number from 1 to 10, found '{text}'"):
        worker_count({"FUNCTIONS_WORKER_PROCESS_COUNT": text})


def test_a_debugger_that_is_not_installed_is_refused_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("func_py.supervisor.launch.find_spec", lambda name: None)

    with pytest.raises(UserError, match="-m pip install debugpy"):
        launch(LaunchOptions(app_root=tmp_path, debugpy=5678), Console())

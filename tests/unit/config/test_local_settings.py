"""local.settings.json and what becomes of it in the app's environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from func_py.config.local_settings import LocalSettings, app_environment, load_local_settings
from func_py.errors import ConfigError


def load(root: Path, content: object) -> LocalSettings:
    (root / "local.settings.json").write_text(json.dumps(content), encoding="utf-8")
    return load_local_settings(root)


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    assert load_local_settings(tmp_path) == LocalSettings()


def test_values_are_text_in_the_end(tmp_path: Path) -> None:
    settings = load(tmp_path, {"Values": {"A": "a", "B": True, "C": 5}})

    assert settings.values == {"A": "a", "B": "true", "C": "5"}


def test_entries_that_cannot_be_settings_are_noted(tmp_path: Path) -> None:
    settings = load(tmp_path, {"Values": {"": "x", "N": None, "O": {"a": 1}}})

    assert settings.values == {}
    assert settings.notices == (
        "Skipping local setting with empty key.",
        "Skipping 'N' because value is null.",
        "Skipping 'O' because its value is not text.",
    )


def test_connection_strings_are_settings_of_their_own(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {
            "ConnectionStrings": {
                "Sql": "s",
                "Other": {"ConnectionString": "o", "ProviderName": "p"},
            }
        },
    )

    assert settings.values == {"ConnectionStrings:Sql": "s", "ConnectionStrings:Other": "o"}


def test_port_and_address_come_from_the_host_section(tmp_path: Path) -> None:
    settings = load(tmp_path, {"Host": {"LocalHttpPort": "8080", "LocalHttpAddress": "0.0.0.0"}})

    assert (settings.port, settings.address) == (8080, "0.0.0.0")


@pytest.mark.parametrize("credentials", [True, "true"])
def test_allowed_origins_come_from_the_host_section(tmp_path: Path, credentials: object) -> None:
    settings = load(
        tmp_path,
        {"Host": {"CORS": "http://a:3000/, http://b", "CORSCredentials": credentials}},
    )

    assert settings.cors == ("http://a:3000", "http://b")
    assert settings.cors_credentials


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"IsEncrypted": True}, "IsEncrypted: encrypted settings cannot be read"),
        ({"Values": []}, "Values: expected an object"),
        ({"Host": {"LocalHttpPort": "http"}}, "Host.LocalHttpPort: expected a port, found 'http'"),
        ({"Host": {"LocalHttpPort": 70000}}, "Host.LocalHttpPort: expected a port, found 70000"),
        ({"Host": {"CORS": ["*"]}}, "Host.CORS: expected text"),
        ({"Host": {"LocalHttpAddress": 1}}, "Host.LocalHttpAddress: expected an address, found 1"),
    ],
)
def test_an_unusable_file_is_an_error_with_the_key(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, content)

    assert f"local.settings.json: {message}" in str(raised.value)


def test_the_environment_beats_the_file_and_says_so() -> None:
    settings = LocalSettings(values={"A": "file", "B": "file", "C": "same"})

    environ, notices = app_environment(
        settings, {"A": "process", "B": "", "C": "same"}, Path("/app"), 7071
    )

    assert (environ["A"], environ["B"]) == ("process", "file")
    assert notices == [
        "Skipping 'A' from local settings as it's already defined in current environment variables."
    ]


def test_a_local_host_adds_its_own_settings_unless_they_are_set() -> None:
    environ, _ = app_environment(
        LocalSettings(values={"WEBSITE_HOSTNAME": "example.org"}),
        {"AZURE_FUNCTIONS_ENVIRONMENT": "Production"},
        Path("/app"),
        7071,
    )

    assert environ["AZURE_FUNCTIONS_ENVIRONMENT"] == "Production"
    assert environ["WEBSITE_HOSTNAME"] == "example.org"
    assert environ["AzureWebJobsScriptRoot"] == "/app"
    assert environ["FUNCTIONS_CORETOOLS_ENVIRONMENT"] == "true"


def test_local_settings_cannot_make_a_local_host_another_environment() -> None:
    environ, notices = app_environment(
        LocalSettings(values={"AZURE_FUNCTIONS_ENVIRONMENT": "Staging"}), {}, Path("/app"), 7071
    )

    assert environ["AZURE_FUNCTIONS_ENVIRONMENT"] == "Development"
    assert notices == [
        (
            "AZURE_FUNCTIONS_ENVIRONMENT already exists with value 'Staging' in local settings, "
            "overriding to 'Development'."
        )
    ]


def test_a_worker_runtime_other_than_python_is_noted() -> None:
    _, notices = app_environment(
        LocalSettings(values={"FUNCTIONS_WORKER_RUNTIME": "node"}), {}, Path("/app"), 7071
    )

    assert notices == ["FUNCTIONS_WORKER_RUNTIME is 'node'; this host runs Python apps."]

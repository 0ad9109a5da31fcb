"""Which storage provider a host.json means."""

from __future__ import annotations

import pytest

from func_py.config.provider_choice import choose_provider
from func_py.config.settings import StorageProviderSettings
from func_py.errors import ConfigError

OVERRIDE = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__type=sqlite"


def test_nothing_said_means_the_embedded_hub() -> None:
    assert choose_provider(StorageProviderSettings(), ["sqlite"]) == "sqlite"


def test_the_type_matches_in_any_case() -> None:
    assert choose_provider(StorageProviderSettings(type="SQLite"), ["sqlite"]) == "sqlite"


def test_a_connection_name_without_a_type_means_azure_storage() -> None:
    settings = StorageProviderSettings(connection_name="AzureWebJobsStorage")

    assert choose_provider(settings, ["sqlite", "AzureStorage"]) == "AzureStorage"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (StorageProviderSettings(type="AzureStorage"), "type"),
        (StorageProviderSettings(connection_name="AzureWebJobsStorage"), "connectionName"),
    ],
)
def test_azure_storage_that_cannot_be_had_names_the_override_that_helps(
    settings: StorageProviderSettings, key: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        choose_provider(settings, ["sqlite"])

    assert raised.value.path == f"extensions.durableTask.storageProvider.{key}"
    assert OVERRIDE in raised.value.hint


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="'netherite' is not available; known are: AzureStorage, sqlite"
    ):
        choose_provider(StorageProviderSettings(type="netherite"), ["sqlite", "AzureStorage"])

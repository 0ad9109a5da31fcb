"""App settings by name: connections, disabled functions."""

from __future__ import annotations

import pytest

from func_py.config.app_settings import find_connection, is_disabled


@pytest.mark.parametrize(
    "environ",
    [
        {"ConnectionStrings:Sql": "yes", "AzureWebJobsSql": "no", "Sql": "no"},
        {"AzureWebJobsSql": "yes", "Sql": "no"},
        {"CONNECTIONSTRINGS__SQL": "yes"},
        {"Sql": "yes"},
    ],
)
def test_a_connection_is_looked_up_with_its_prefixes_first(environ: dict[str, str]) -> None:
    assert find_connection("Sql", environ) == "yes"


def test_a_connection_by_identity_is_its_section() -> None:
    environ = {"Store__serviceUri": "https://x", "store:clientId": "7", "Store__a__b": "no"}

    assert find_connection("Store", environ) == {"serviceUri": "https://x", "clientId": "7"}


def test_a_connection_that_nobody_set_is_none() -> None:
    assert find_connection("Sql", {"Sql": "", "Other": "x"}) is None


@pytest.mark.parametrize(
    ("environ", "declared", "disabled"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"AzureWebJobs.Tick.Disabled": "true"}, False, True),
        ({"azurewebjobs.tick.disabled": "1"}, False, True),
        ({"AzureWebJobs_Tick_Disabled": "True"}, False, True),
        ({"AzureWebJobs.Tick.Disabled": "false"}, True, False),
        ({"AzureWebJobs.Tock.Disabled": "true"}, False, False),
    ],
)
def test_a_function_is_disabled_by_setting_or_declaration(
    environ: dict[str, str], declared: bool, disabled: bool
) -> None:
    assert is_disabled("Tick", environ, declared=declared) is disabled

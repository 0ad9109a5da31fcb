"""What host.json and the app settings say about a hub in Azure Storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.registry import HubSettings, find_provider
from func_py.errors import ConfigError, UserError

ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5;EndpointSuffix=x.net"


def hub_of(options: dict[str, Any] | None = None, hub: str = "Shop", **settings: Any) -> Any:
    """The hub that settings ask for."""
    environ = settings.pop("environ", {"AzureWebJobsStorage": ACCOUNT})
    asked = HubSettings(
        hub=hub,
        state_dir=Path("nowhere"),
        options=options or {},
        app_settings=environ,
        **settings,
    )
    return find_provider("azurestorage").create_task_hub(asked)


def test_the_account_is_that_of_the_app_by_default() -> None:
    hub = hub_of()
    assert isinstance(hub, AzureTaskHub)
    assert hub.account.location == "https://shop.queue.x.net"


def test_a_connection_can_be_named() -> None:
    hub = hub_of({"connectionName": "Other"}, environ={"Other": ACCOUNT})
    assert hub.account.location == "https://shop.queue.x.net"


def test_development_storage_is_azurite_at_its_usual_ports() -> None:
    hub = hub_of(environ={"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    assert hub.account.location == "http://127.0.0.1:10001/devstoreaccount1"


def test_a_connection_without_a_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="AzureWebJobsStorage") as caught:
        hub_of(environ={})
    assert "storageProvider__type=sqlite" in caught.value.hint


def test_what_is_no_connection_string_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        hub_of(environ={"AzureWebJobsStorage": "AccountKey=secret"})
    assert "secret" not in str(caught.value)


def test_an_account_can_be_named_with_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def credential(name: str, section: object) -> object:
        asked.append((name, section))
        return object()

    monkeypatch.setattr("func_py.durable.storage.azure.provider.credential_of", credential)
    hub = hub_of(environ={"AzureWebJobsStorage__accountName": "shop"})
    assert hub.account.endpoints == {
        service: f"https://shop.{service}.core.windows.net"
        for service in ("blob", "queue", "table")
    }
    assert asked == [("AzureWebJobsStorage", {"accountName": "shop"})]


def test_an_identity_without_an_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "func_py.durable.storage.azure.provider.credential_of", lambda name, section: object()
    )
    with pytest.raises(UserError, match="tableServiceUri"):
        hub_of(
            environ={
                "AzureWebJobsStorage__blobServiceUri": "https://b",
                "AzureWebJobsStorage__queueServiceUri": "https://q",
            }
        )


def test_names_and_partitions_are_those_that_the_layout_has() -> None:
    with pytest.raises(ConfigError, match="my-hub"):
        hub_of(hub="my-hub")
    with pytest.raises(ConfigError, match="17"):
        hub_of(partition_count=17)


def test_times_are_read_and_bad_ones_named() -> None:
    hub = hub_of(
        {
            "leaseTime": "00:00:07",
            "maxQueuePollingInterval": "00:00:02",
            "controlQueueVisibilityTimeout": "00:05:00",
        }
    )
    options = hub.options
    spans = (options.lease, options.longest_poll, options.hidden)
    assert [span.total_seconds() for span in spans] == [7, 2, 300]
    with pytest.raises(ConfigError, match="leaseTime"):
        hub_of({"leaseTime": "soon"})


def test_the_app_lease_is_named_after_the_site_or_left_alone() -> None:
    environ = {"AzureWebJobsStorage": ACCOUNT, "WEBSITE_SITE_NAME": "shop-app"}
    assert hub_of(environ=environ).options.app == "shop-app"
    assert hub_of().options.app == ""
    assert hub_of(uses_app_lease=False).options.app is None

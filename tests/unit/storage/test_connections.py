"""Connections by name: which settings they are made of, and how their mistakes are told."""

from __future__ import annotations

import sys

import pytest

from func_py.errors import ConnectionSettingError
from func_py.storage.connections import StorageConnections
from func_py.storage.emulator import connection_string

KEYED = "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5;EndpointSuffix=core.x.net"


async def urls(name: str, **settings: str) -> list[str]:
    """Addresses of the three services of a connection."""
    connections = StorageConnections(settings)
    services = (connections.blobs, connections.queues, connections.tables)
    found = [service(name).client.url.rstrip("/") for service in services]
    await connections.close()
    return found


@pytest.mark.parametrize("name", ["", "AzureWebJobsStorage", "azurewebjobsstorage", "Storage"])
async def test_no_name_is_the_hosts_own_storage(name: str) -> None:
    assert await urls(name, AzureWebJobsStorage=KEYED) == [
        "https://acme.blob.core.x.net",
        "https://acme.queue.core.x.net",
        "https://acme.table.core.x.net",
    ]


async def test_development_storage_is_the_emulator() -> None:
    assert await urls("Mine", Mine="UseDevelopmentStorage=true") == [
        "http://127.0.0.1:10000/devstoreaccount1",
        "http://127.0.0.1:10001/devstoreaccount1",
        "http://127.0.0.1:10002/devstoreaccount1",
    ]


def test_development_storage_may_be_on_another_host() -> None:
    text = connection_string(
        "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/"
    )
    assert "QueueEndpoint=http://azurite:10001/devstoreaccount1;" in text
    assert connection_string(KEYED) == KEYED


async def test_connection_by_identity_names_account_or_services() -> None:
    assert await urls("Mine", Mine__accountName="acme") == [
        "https://acme.blob.core.windows.net",
        "https://acme.queue.core.windows.net",
        "https://acme.table.core.windows.net",
    ]
    assert (
        await urls(
            "Mine",
            Mine__blobServiceUri="https://b.example",
            Mine__queueServiceUri="https://q.example",
            Mine__tableServiceUri="https://t.example",
            Mine__credential="managedidentity",
            Mine__clientId="1",
        )
    ) == ["https://b.example", "https://q.example", "https://t.example"]


async def test_a_service_is_connected_to_once() -> None:
    connections = StorageConnections({"AzureWebJobsStorage": KEYED})
    assert connections.queues("") is connections.queues("AzureWebJobsStorage")
    await connections.close()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "there is no app setting of this name"),
        ({"Mine": "nonsense"}, "it is no connection string"),
        ({"Mine__credential": "managedidentity"}, "it has neither 'queueServiceUri' nor"),
    ],
)
def test_connection_that_cannot_be_used_says_why(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(ConnectionSettingError) as caught:
        StorageConnections(settings).queues("Mine")
    assert problem in str(caught.value)
    assert "`func-py azurite`" in str(caught.value)


def test_connection_by_identity_without_the_package_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["func_py.storage.credentials"], "_identity", None)
    with pytest.raises(ConnectionSettingError, match="needs the package azure-identity"):
        StorageConnections({"Mine__accountName": "acme"}).queues("Mine")

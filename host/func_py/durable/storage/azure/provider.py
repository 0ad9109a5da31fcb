"""What host.json's `storageProvider.type: AzureStorage` means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from func_py.config.app_settings import find_connection, find_setting
from func_py.config.timespan import parse_timespan
from func_py.durable.storage.azure.account import Account
from func_py.durable.storage.azure.hub import AzureTaskHub
from func_py.durable.storage.azure.names import MAX_PARTITIONS, hub_name_problem
from func_py.durable.storage.azure.opened import AzureOptions
from func_py.durable.storage.base import TaskHub
from func_py.durable.storage.lease_time import lease_time
from func_py.durable.storage.registry import HubSettings
from func_py.errors import ConfigError
from func_py.storage.credentials import credential_of
from func_py.storage.emulator import connection_string

_SECTION = "extensions.durableTask.storageProvider"
_DEFAULT_CONNECTION = "AzureWebJobsStorage"
_SERVICES = ("blob", "queue", "table")


class AzureStorageProvider:
    """Makes task hubs in a storage account.

    Options: `connectionName`, the app setting with the connection string or the prefix of those of
    a connection by identity; `maxQueuePollingInterval`, `controlQueueVisibilityTimeout`
    and, of our own, `leaseTime`.
    """

    def create_task_hub(self, settings: HubSettings) -> TaskHub:
        """See `Provider.create_task_hub`."""
        problem = hub_name_problem(settings.hub)
        if problem is not None:
            raise ConfigError(
                "host.json",
                "extensions.durableTask.hubName",
                problem,
                "Use 3 to 45 letters and digits, a letter first.",
            )
        if settings.partition_count > MAX_PARTITIONS:
            raise ConfigError(
                "host.json",
                f"{_SECTION}.partitionCount",
                f"is {settings.partition_count}",
                f"A hub in Azure Storage has at most {MAX_PARTITIONS} partitions.",
            )
        defaults = AzureOptions()
        options = AzureOptions(
            lease=lease_time(settings, defaults.lease),
            hidden=_span(settings, "controlQueueVisibilityTimeout", defaults.hidden),
            longest_poll=_span(settings, "maxQueuePollingInterval", defaults.longest_poll),
            app=find_setting("WEBSITE_SITE_NAME", settings.app_settings) or ""
            if settings.uses_app_lease
            else None,
        )
        return AzureTaskHub(_account(settings), settings.hub, settings.partition_count, options)


def _span(settings: HubSettings, key: str, default: timedelta) -> timedelta:
    text = settings.options.get(key)
    if text is None:
        return default
    try:
        return parse_timespan(text)
    except ValueError as error:
        raise ConfigError("host.json", f"{_SECTION}.{key}", f"is {text!r}", str(error)) from error


def _account(settings: HubSettings) -> Account:
    """Where the app settings say that the account is."""
    name = str(
        settings.options.get("connectionName")
        or settings.options.get("connectionStringName")
        or _DEFAULT_CONNECTION
    )
    found = find_connection(name, settings.app_settings)
    where = ("host.json", f"{_SECTION}.connectionName")
    if not found:
        raise ConfigError(
            *where,
            f"there is no app setting '{name}', which would say where the storage account is",
            f'For Azurite: "{name}": "UseDevelopmentStorage=true". To run on the embedded task '
            "hub instead, set AzureFunctionsJobHost__extensions__durableTask__storageProvider"
            "__type=sqlite",
        )
    if isinstance(found, str):
        text = connection_string(found)
        if "AccountName=" not in text and "SharedAccessSignature=" not in text:
            # Not what the SDK says: it may repeat the string, with the key.
            raise ConfigError(
                *where, f"the app setting '{name}' is not a connection string of a storage account"
            )
        return Account(connection_string=text)
    section = found
    # Whether it can be had is to be known now, not when it is used.
    credential_of(name, section)
    return Account(
        endpoints=_endpoints(section, name), credential=lambda: credential_of(name, section)
    )


def _endpoints(section: Mapping[str, str], name: str) -> Mapping[str, str]:
    values = {key.casefold(): value for key, value in section.items()}
    account = values.get("accountname")
    found = {}
    for service in _SERVICES:
        url = values.get(f"{service}serviceuri")
        if not url and account:
            url = f"https://{account}.{service}.core.windows.net"
        if not url:
            raise ConfigError(
                "app settings",
                f"{name}__{service}ServiceUri",
                "is missing",
                f"Set it, or {name}__accountName for all three services.",
            )
        found[service] = url
    return found

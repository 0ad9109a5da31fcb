"""Credentials of connections by identity, from the package azure-identity where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from func_py.errors import ConnectionSettingError

try:
    from azure.identity import aio as _found
except ImportError:
    _identity: ModuleType | None = None
else:
    _identity = _found


def credential_of(name: str, section: Mapping[str, str]) -> Any:
    """The credential that a connection's settings describe; the caller closes it.

    `credential` may be `managedidentity`, with `clientId` for one that the user assigned;
    `tenantId`, `clientId` and `clientSecret` are an application. Without any of them the
    environment, then the developer's own sign-in, is tried.

    Raises:
        ConnectionSettingError: The package is not installed.
    """
    if _identity is None:
        raise ConnectionSettingError(
            name, "a connection by identity needs the package azure-identity; install it"
        )
    given = {key.lower(): value for key, value in section.items() if value}
    client_id = given.get("clientid")
    if given.get("credential", "").lower() == "managedidentity":
        return _identity.ManagedIdentityCredential(client_id=client_id)
    if client_id and "tenantid" in given and "clientsecret" in given:
        return _identity.ClientSecretCredential(given["tenantid"], client_id, given["clientsecret"])
    return _identity.DefaultAzureCredential(managed_identity_client_id=client_id)

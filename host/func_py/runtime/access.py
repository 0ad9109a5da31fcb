"""Wires who may call what: nobody is asked in development, keys count everywhere else."""

from __future__ import annotations

import hmac
import socket
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from func_py import __version__
from func_py.config.app_settings import is_disabled
from func_py.config.settings import HostConfig
from func_py.durable.model import new_id
from func_py.keys import SYSTEM, KeyStore, keys_directory, of_function
from func_py.web import Authorizer, Mount, allow_everyone
from func_py.web.admin import HostFacts
from func_py.web.keys import KeyGuard
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.http import endpoint_of

_SECRET_STORAGE = "AzureWebJobsSecretStorageType"
_HOST_ID = "AzureFunctionsWebHost__hostid"


@dataclass(frozen=True, slots=True)
class Access:
    """What keys there are, and who asks for them. No `guard`: everybody may do everything."""

    store: KeyStore
    guard: KeyGuard | None

    @property
    def authorizer(self) -> Authorizer:
        """For the front end."""
        return self.guard or allow_everyone

    def is_admin(self, request: web.BaseRequest) -> bool:
        """Whether a request may use the admin API."""
        return self.guard is None or self.guard.is_master(request)

    def system_key(self, name: str) -> str:
        """The system key of this name, made when needed; empty when nobody asks for it."""
        return self.store.ensure(SYSTEM, name) if self.guard is not None else ""

    def secret_of(self, purpose: str) -> str:
        """A text that nobody outside can know, hexadecimal; empty when nobody asks for keys.

        The same in every process of the host, because each may answer for the other.
        """
        if self.guard is None:
            return ""
        return hmac.digest(self.store.master().encode(), purpose.encode(), "sha256").hex()

    def webhook(self, mount: Mount, key: str) -> Mount:
        """The mount for those only who show a system key, which is made when needed."""
        if self.guard is None:
            return mount
        self.store.ensure(SYSTEM, key)
        return Mount(mount.prefix, self.guard.webhook(key, mount.handler))


def access_of(
    config: HostConfig,
    functions: Iterable[FunctionSpec],
    environ: Mapping[str, str],
    *,
    enforced: bool,
) -> Access:
    """The access rules of a host; makes the keys that are missing when they are enforced.

    Raises:
        UserError: Keys are enforced, and their files cannot be used.
    """
    store = KeyStore(keys_directory(config.state_dir, environ))
    if not enforced:
        return Access(store, None)
    store.master()
    for function in functions:
        endpoint = endpoint_of(function)
        if endpoint is not None and endpoint.auth_level == "function":
            # Now, so that no request waits for a disk and everybody can look the key up.
            store.keys(of_function(function.name))
    return Access(store, KeyGuard(store))


def key_notices(access: Access, environ: Mapping[str, str]) -> list[str]:
    """What to say about settings of the official host for keys that mean nothing here."""
    kind = environ.get(_SECRET_STORAGE, "")
    if access.guard is None or kind.casefold() in ("", "files"):
        return []
    return [f"{_SECRET_STORAGE} is '{kind}': this host keeps keys in files, and only there."]


def disabled_functions(
    functions: Iterable[FunctionSpec], environ: Mapping[str, str]
) -> frozenset[str]:
    """Names of the functions that are switched off, in lower case."""
    return frozenset(
        f.name.lower() for f in functions if is_disabled(f.name, environ, declared=f.is_disabled)
    )


def host_facts(
    config: HostConfig, environ: Mapping[str, str], disabled: Collection[str]
) -> HostFacts:
    """What the admin API says about this host."""
    return HostFacts(
        host_id=host_id_of(config.root, environ),
        version=__version__,
        instance_id=new_id(),
        computer_name=socket.gethostname(),
        route_prefix=config.http.route_prefix,
        disabled=frozenset(disabled),
    )


def host_id_of(root: Path, environ: Mapping[str, str]) -> str:
    """What the hosts of an app have in common: as configured, else the name of the site in Azure,
    else the same for the same app on the same machine."""
    given = environ.get(_HOST_ID) or environ.get("WEBSITE_SITE_NAME", "")
    if given:
        return given.lower()[:32].rstrip("-")
    machine = "".join(c for c in socket.gethostname().lower() if c.isascii() and c.isalnum())
    return f"{machine[:21]}-{zlib.crc32(str(root).encode())}"

"""What the hosts that run on a hub have registered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from func_py.durable.storage.base import HostRecord
from func_py.errors import FunctionNotRegistered


class OtherHosts:
    """The live hosts with functions; a client without a host cannot know the app otherwise."""

    def __init__(self, hosts: Iterable[HostRecord]) -> None:
        known = list(hosts)
        self._ids = {host.host_id for host in known}
        self._functions = {name for host in known for name in host.functions}

    @property
    def are_running(self) -> bool:
        """Is there one that runs durable functions?"""
        return bool(self._functions)

    def has(self, host_id: str) -> bool:
        """Is this host, by its id, among them?"""
        return host_id in self._ids

    def missing(self, kind: str, name: str) -> FunctionNotRegistered | None:
        """The error when hosts run, but none has this function; kind: orchestrator or entity."""
        if not self._functions or f"{kind}:{name.lower()}" in self._functions:
            return None
        prefix = f"{kind}:"
        known = sorted(f.removeprefix(prefix) for f in self._functions if f.startswith(prefix))
        near = difflib.get_close_matches(name.lower(), known, n=1)
        return FunctionNotRegistered(kind, name, known, near[0] if near else None)

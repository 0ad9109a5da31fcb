"""How the partitions of a hub are shared among its hosts: each computes the same answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from func_py.durable.storage.base import HostRecord

_MOST_NAMES = 5


def candidates(hosts: Sequence[HostRecord]) -> list[str]:
    """Ids of the hosts that want partitions, oldest first: those that have functions.

    A host without any is a command that looks at the hub, or one that has begun to end.
    """
    wanting = [host for host in hosts if host.functions]
    return [h.host_id for h in sorted(wanting, key=lambda h: (h.started_at, h.host_id))]


def fair_share(partition_count: int, hosts: Sequence[HostRecord], host_id: str) -> int:
    """How many partitions a host should own.

    What does not divide evenly goes to the oldest hosts. So nobody's share grows when a host
    comes, nobody's shrinks when one goes, and nothing moves that need not. Where no host has
    functions, whoever asks may have all there is.
    """
    wanting = candidates(hosts)
    if not wanting:
        return partition_count
    if host_id not in wanting:
        return 0
    each, left = divmod(partition_count, len(wanting))
    return each + (wanting.index(host_id) < left)


def difference_of(here: Collection[str], there: Collection[str]) -> str:
    """What functions only one of two hosts has, in words; empty when there are none."""
    only = {"only there": {*there} - {*here}, "only here": {*here} - {*there}}
    return "; ".join(f"{where}: {_some(names)}" for where, names in only.items() if names)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_MOST_NAMES])
    return f"{shown}, …" if len(names) > _MOST_NAMES else shown

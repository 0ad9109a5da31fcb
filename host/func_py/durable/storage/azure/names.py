"""Names of what makes up a task hub in Azure Storage, and the escaping of table keys.

Layout: that of DurableTask.AzureStorage. Queues and containers have the hub's name in lower case;
tables keep its case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_PARTITIONS = 16

_HUB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,44}")
_ESCAPES = {"^": "^^", "/": "^0", "\\": "^1", "#": "^2", "?": "^3"} | {
    chr(code): f"^{chr(0xC0 + code)}" for code in (*range(0x20), *range(0x7F, 0xA0))
}
_TABLE = str.maketrans(_ESCAPES)
_ORIGINALS = {escape[1]: original for original, escape in _ESCAPES.items()}
_ESCAPED = re.compile(r"\^(.)", re.DOTALL)


def hub_name_problem(name: str) -> str | None:
    """Why a hub in Azure Storage cannot have this name, or None when it can."""
    if _HUB_NAME.fullmatch(name):
        return None
    return f"'{name}' cannot name a task hub in Azure Storage"


@lru_cache(maxsize=1024)  # asked again for each row of an instance
def escape_key(text: str) -> str:
    """The table key for an instance id or another text. Not idempotent."""
    return text.translate(_TABLE)


def unescape_key(key: str) -> str:
    """The text of which this is the key; an unknown escape stands for its own character."""
    return _ESCAPED.sub(lambda match: _ORIGINALS.get(match[1], match[1]), key)


@dataclass(frozen=True, slots=True)
class HubNames:
    """Every name of one hub."""

    hub: str

    @property
    def history(self) -> str:
        """Table of events."""
        return f"{self.hub}History"

    @property
    def instances(self) -> str:
        """Table of the instances' records."""
        return f"{self.hub}Instances"

    @property
    def partitions(self) -> str:
        """Table of the leases of the control queues."""
        return f"{self.hub}Partitions"

    @property
    def private(self) -> str:
        """Table of what only func-py keeps: hosts and named records."""
        return f"{self.hub}FuncPy"

    @property
    def tables(self) -> Sequence[str]:
        """All of them."""
        return (self.history, self.instances, self.partitions, self.private)

    @property
    def work_items(self) -> str:
        """Queue of activity calls."""
        return f"{self.hub.lower()}-workitems"

    def control(self, partition: int) -> str:
        """Queue of a partition's messages."""
        return f"{self.hub.lower()}-control-{partition:02d}"

    @property
    def large_messages(self) -> str:
        """Container of what does not fit into messages and rows."""
        return f"{self.hub.lower()}-largemessages"

    @property
    def lease_blobs(self) -> str:
        """Container in which older official hosts keep leases and the partition count."""
        return f"{self.hub.lower()}-leases"

    @property
    def app_lease(self) -> str:
        """Container whose lease says which app works on the hub."""
        return f"{self.hub.lower()}-applease"

    @property
    def app_lease_info(self) -> str:
        """Blob in it that names the app."""
        return f"{self.hub.lower()}-appleaseinfo"

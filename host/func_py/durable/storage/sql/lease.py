"""A host's lease on a server database, as the host itself knows it."""

from __future__ import annotations

import time
from datetime import timedelta

DEFAULT_LEASE = timedelta(seconds=15)


class HostLease:
    """When the host last gave a sign of life. Asked and told in any thread."""

    def __init__(self, length: timedelta) -> None:
        """`length`: how long it lives without a sign of life."""
        self._length_s = length.total_seconds()
        self.pause_s = self._length_s / 3
        """Between renewals: two of them may fail."""
        self._renewed_at = time.monotonic()
        self._is_forgotten = False

    @property
    def is_overdue(self) -> bool:
        """The others may take this host for dead, or have done so already."""
        return self._is_forgotten or time.monotonic() - self._renewed_at >= self._length_s

    def entered(self) -> None:
        """The host has just entered the hub again."""
        self._renewed_at = time.monotonic()
        self._is_forgotten = False

    def renewed(self, began_at: float) -> None:
        """It was renewed, by a request begun at this time of the monotonic clock."""
        self._renewed_at = began_at

    def forgotten(self) -> None:
        """The host was taken for dead: it must enter again before it does anything else."""
        self._is_forgotten = True

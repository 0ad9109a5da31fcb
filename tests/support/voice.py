"""Who listens to commands, in tests."""

from __future__ import annotations


class Voice:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.remarks: list[str] = []
        self.tell = self.told.append
        self.remark = self.remarks.append

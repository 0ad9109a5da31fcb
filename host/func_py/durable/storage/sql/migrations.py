"""Ordered schema migrations: `NNNN_name.sql` files, each statement ended by `;` at a line's end."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable
from typing import NamedTuple

_FILE = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """The statements that bring a hub from version - 1 to version."""

    version: int
    statements: tuple[str, ...]


def load_migrations(folder: Traversable) -> list[Migration]:
    """The migrations of a dialect, ascending; versions count from 1 without a gap."""
    migrations = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match is not None:
            statements = re.split(r";[ \t]*\n", file.read_text(encoding="utf-8").rstrip() + "\n")
            texts = tuple(s.strip() for s in statements if s.strip())
            migrations.append(Migration(int(match[1]), texts))
    migrations.sort()
    assert [m.version for m in migrations] == list(range(1, len(migrations) + 1))
    return migrations

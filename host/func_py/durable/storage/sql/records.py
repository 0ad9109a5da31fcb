"""Named records and who holds them: the writing side of clauses 22 and 23.

Everything here runs in the writer thread, inside a write transaction: nobody else writes meanwhile.
"""

from __future__ import annotations

from func_py.durable.storage.sql.connection import Connection, Dialect


class Records:
    """What this host does with records."""

    def __init__(self, dialect: Dialect, host_id: str) -> None:
        self._dialect = dialect
        self._host_id = host_id

    def write(self, connection: Connection, key: str, value: str, version: int) -> bool:
        """Store a value over that version, 0 for none. Contract: 22."""
        if self._is_held_by_another(connection, key):
            return False
        if version and not connection.execute("delete_record", key, version):
            return False
        return connection.execute("insert_record", key, value) == 1

    def delete(self, connection: Connection, key: str, version: int) -> bool:
        """Delete that version. Contract: 22."""
        if self._is_held_by_another(connection, key):
            return False
        return connection.execute("delete_record", key, version) == 1

    def hold(self, connection: Connection, key: str) -> bool:
        """Hold the key unless another live host does. Contract: 23.

        A host that the others took for dead is no longer in the hub and gets nothing.
        """
        if self._is_held_by_another(connection, key):
            return False
        return connection.execute("hold_record", key, self._host_id) == 1

    def release(self, connection: Connection, key: str) -> None:
        """End our hold. Contract: 23."""
        connection.execute("release_record", key, self._host_id)

    def _is_held_by_another(self, connection: Connection, key: str) -> bool:
        row = connection.row("record_holder", key)
        return (
            row is not None
            and row[0] != self._host_id
            and self._dialect.is_alive(connection, row[0])
        )

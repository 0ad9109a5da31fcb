"""What a host owns: its partitions, their mail and activities, and its place among the hosts.

Everything here runs in the writer thread, inside a write transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from func_py.durable.model import ActivityTask
from func_py.durable.storage.base import HostRecord, Lease, Mail, Recovered, TaskKey
from func_py.durable.storage.sql.connection import Connection, Dialect
from func_py.durable.storage.sql.records import Records
from func_py.durable.storage.sql.rows import (
    activity_key_rows,
    activity_rows,
    encode_text,
    host_rows,
    lease_rows,
    message_rows,
    read_activity,
    read_mail,
    read_timer,
    text_rows,
    timer_rows,
    to_micros,
)
from func_py.errors import ConfigError, LeaseLost, UserError


class News(NamedTuple):
    """What others have changed that somebody here may wait for."""

    hosts: bool = False
    """Who is there, which partitions are free, or which are ours."""
    offers: bool = False
    """Activities may be claimed."""

    def __or__(self, other: object) -> News:
        assert isinstance(other, News)
        return News(self.hosts or other.hosts, self.offers or other.offers)


class Ownership:
    """The writer's knowledge of what is ours.

    `held` has the epochs of partitions that were recovered: only their mail is delivered from
    memory. What arrives between acquiring and recovering is given by `recover`.
    """

    def __init__(self, dialect: Dialect, host_id: str) -> None:
        self.host_id = host_id
        self.held: dict[int, int] = {}
        self.records = Records(dialect, host_id)
        self.concerned: set[str] = set()
        """The other hosts to be told once this transaction is durable."""
        self._dialect = dialect
        self._seen: tuple[object, object] = ("", 0)

    # ---- hosts -----------------------------------------------------------------------------

    def enter(self, connection: Connection, host: HostRecord, partition_count: int) -> int:
        """Make this host known; its number, which no host had before or will have.

        Raises:
            ConfigError: The hub has another number of partitions.
            UserError: A host that lives on another kernel uses the hub.
        """
        row = connection.row("partition_count")
        assert row is not None
        if row[0] != partition_count:
            raise ConfigError(
                "host.json",
                "extensions.durableTask.storageProvider.partitionCount",
                f"is {partition_count}, but the task hub {self._dialect.location} was created "
                f"with {row[0]}",
                f"Set it to {row[0]}, or use another hubName.",
            )
        self.sweep(connection)
        boot_id = self._dialect.boot_id
        for host_id, other_boot_id, _, _ in connection.document(host_rows, "hosts"):
            if boot_id and other_boot_id and boot_id != other_boot_id:
                raise UserError(
                    f"The task hub {self._dialect.location} is in use by host {host_id} on another "
                    "machine. An embedded task hub works on one machine only; use a database "
                    "server as storage provider, or stop the other host."
                )
        self._dialect.enter(host)
        connection.execute("insert_host", *self._dialect.host_row(host))
        self._tell_all(connection)
        number = connection.row("host_number", host.host_id)
        assert number is not None
        return cast("int", number[0])

    def leave(self, connection: Connection) -> None:
        """Give everything back and forget this host."""
        connection.execute("free_all_activities", self.host_id)
        connection.execute("release_all_partitions", self.host_id)
        connection.execute("release_all_records", self.host_id)
        connection.execute("delete_host", self.host_id)
        self._tell_all(connection)
        self.held.clear()

    def publish(self, connection: Connection, functions: Sequence[str]) -> None:
        """Say something else of this host."""
        self._dialect.publish(functions)
        connection.execute("publish", encode_text(list(functions)), self.host_id)
        self._tell_all(connection)

    def sweep(self, connection: Connection) -> None:
        """Forget the hosts that died."""
        for host_id, *_ in connection.document(host_rows, "hosts"):
            if host_id != self.host_id and not self._dialect.is_alive(connection, host_id):
                connection.execute("release_all_records", host_id)
                connection.execute("delete_host", host_id)
                self._dialect.forget(host_id)

    # ---- partitions ------------------------------------------------------------------------

    def look(self, connection: Connection) -> News:
        """Drop what another host has taken over meanwhile, and see what else there is."""
        before = self.held
        if before:
            rows = connection.document(lease_rows, "held_partitions", self.host_id)
            stored = dict(rows)
            self.held = {p: e for p, e in before.items() if stored.get(p) == e}
        (old_hosts, old_offers), self._seen = self._seen, self._dialect.stir(connection)
        hosts, offers = self._seen
        return News(
            hosts=hosts != old_hosts or len(self.held) < len(before),
            offers=bool(offers) and offers != old_offers,
        )

    def acquire(
        self, connection: Connection, partitions: Collection[int], limit: int | None
    ) -> list[Lease]:
        """Take the free ones. Contract: 11."""
        self.sweep(connection)
        leases: list[Lease] = []
        for partition in sorted(set(partitions)):
            if limit is not None and len(leases) >= limit:
                break
            if connection.execute("acquire_partition", self.host_id, partition):
                row = connection.row("lease", partition)
                assert row is not None
                leases.append(Lease(partition, row[1]))
        return leases

    def release(
        self, connection: Connection, leases: Sequence[Lease], keep: Collection[TaskKey]
    ) -> None:
        """Give back what is still ours, with the activities that wait there. Contract: 27."""
        kept = {(key.instance_id, key.execution_id, key.task_id) for key in keep}
        for lease in leases:
            partition = lease.partition
            if not connection.execute("release_partition", partition, lease.epoch, self.host_id):
                continue
            self.held.pop(partition, None)
            self._tell_all(connection)
            if not kept:
                connection.execute("free_activities", partition, self.host_id)
                continue
            keys = connection.document(
                activity_key_rows, "held_activity_keys", partition, self.host_id
            )
            # To nobody, under no name: only the next owner takes them.
            rows = [(*key, None, self.host_id) for key in keys if key not in kept]
            connection.execute_rows("offer_activities", rows)

    def recover(self, connection: Connection, lease: Lease, timers_until: datetime) -> Recovered:
        """Everything pending of a partition; from now on its mail is delivered. Contract: 12."""
        self._check(connection, lease)
        self.sweep(connection)
        partition, epoch = lease.partition, lease.epoch
        mail = connection.document(message_rows, "pending_messages", partition)
        connection.execute("note_pending", epoch, partition)
        until = to_micros(timers_until)
        timers = connection.document(timer_rows, "timers_until", partition, until)
        connection.execute("adopt_activities", self.host_id, partition)
        calls = connection.document(activity_rows, "held_activities", partition, self.host_id)
        self.held[partition] = epoch
        return Recovered(
            mail=[read_mail(row, partition, epoch) for row in mail],
            timers=[read_timer(row) for row in timers],
            activities=[read_activity(row) for row in calls],
        )

    def tell_owners(self, connection: Connection, partitions: Collection[int]) -> None:
        """Something was stored for these partitions, which are not ours to deliver to."""
        if partitions:
            holders = connection.document(text_rows, "holders", encode_text(list(partitions)))
            self.concerned |= {*holders} - {self.host_id}

    def _tell_all(self, connection: Connection) -> None:
        hosts = {row[0] for row in connection.document(host_rows, "hosts")}
        self.concerned |= hosts - {self.host_id}

    def take_mail(self, connection: Connection) -> list[Mail]:
        """What others stored for our partitions, not delivered yet."""
        mail: list[Mail] = []
        for partition, epoch in self.held.items():
            rows = connection.document(message_rows, "undelivered_messages", partition)
            if rows:
                # These, and not what another host is storing at this moment.
                connection.execute_rows("note_delivered", [(row[0], epoch) for row in rows])
                mail += [read_mail(row, partition, epoch) for row in rows]
        return mail

    # ---- activities ------------------------------------------------------------------------

    def offer(self, connection: Connection, activities: Collection[ActivityTask]) -> None:
        """Give up what we hold of these, for any host to claim. Contract: 24."""
        rows = [
            (a.instance_id, a.execution_id, a.task_id, a.name.lower(), self.host_id)
            for a in activities
        ]
        connection.execute_rows("offer_activities", rows)
        self._tell_all(connection)

    def claim(
        self, connection: Connection, names: Collection[str], limit: int
    ) -> list[ActivityTask]:
        """Hold offered activities of these names, if there are any. Contract: 24."""
        wanted = encode_text(list(names))
        found = connection.document(activity_rows, "offered_activities", wanted, limit)
        rows = [(*row[:3], self.host_id) for row in found]
        connection.execute_rows("claim_activities", rows)
        return [read_activity(row) for row in found]

    def take_back(self, connection: Connection, lease: Lease) -> list[ActivityTask]:
        """Hold what nobody alive holds in our partition. Contract: 26."""
        self._check(connection, lease)
        self.sweep(connection)
        found = connection.document(activity_rows, "unheld_activities", lease.partition)
        connection.execute("take_back_activities", self.host_id, lease.partition)
        return [read_activity(row) for row in found]

    def discard(
        self,
        connection: Connection,
        lease: Lease,
        messages: Collection[str],
        activities: Collection[TaskKey],
    ) -> None:
        """Delete what no turn will take."""
        self._check(connection, lease)
        connection.execute_rows("delete_messages", [(message,) for message in messages])
        keys = [(key.instance_id, key.execution_id, key.task_id) for key in activities]
        connection.execute_rows("discard_activities", keys)

    def _check(self, connection: Connection, lease: Lease) -> None:
        # No lock is needed: nobody else writes while this transaction runs.
        if connection.row("lease", lease.partition) != (self.host_id, lease.epoch):
            raise LeaseLost(lease.partition, lease.epoch)

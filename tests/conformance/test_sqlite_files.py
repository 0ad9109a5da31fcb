"""The embedded hub's files: foreign, damaged, of another version, of another machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conformance.harness import PARTITIONS, World
from support.durable_values import NOON, activity, at, make_start, raised, scheduled, timer
from support.engine import until
from support.sqlite_harness import SqliteHarness

from func_py.durable.model import RuntimeStatus, new_id, partition_of
from func_py.durable.storage.base import REUSE_ANY, HostRecord
from func_py.durable.storage.registry import HubSettings, find_provider, known_providers
from func_py.durable.storage.sql.sqlite.bell import Bell, ring
from func_py.durable.storage.sql.sqlite.dialect import SqliteDialect
from func_py.durable.storage.sql.sqlite.host_files import HELD
from func_py.errors import ConfigError, SchemaMismatch, UserError


@pytest.fixture
def harness(tmp_path: Path) -> SqliteHarness:
    """Hubs in a fresh directory."""
    return SqliteHarness(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The hub's file."""
    return tmp_path / "TestHub.db"


def record() -> HostRecord:
    """A fresh host."""
    return HostRecord(host_id=new_id(), started_at=NOON)


def change(file: Path, statement: str) -> None:
    """Execute a statement behind the hub's back."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


def files_of(directory: Path) -> list[str]:
    """Names of the files in and below a directory."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def block_until(file: Path, query: str, value: object) -> None:
    """Keep the event loop from running until the file holds a value."""
    deadline = time.monotonic() + 20
    with closing(sqlite3.connect(file)) as connection:
        while connection.execute(query).fetchone()[0] != value:
            assert time.monotonic() < deadline


def damage(file: Path) -> None:
    """Destroy all pages but the first."""
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


async def test_the_file_is_named_after_the_hub_in_the_state_directory(tmp_path: Path) -> None:
    settings = HubSettings(hub="MyHub", state_dir=tmp_path / "new" / "state")
    await find_provider("sqlite").create_task_hub(settings).create_hub()
    assert (tmp_path / "new" / "state" / "MyHub.db").exists()


async def test_commits_are_synced_to_the_disk(harness: SqliteHarness) -> None:
    """A 202 means it is on disk: write-ahead log, synchronous FULL."""
    await harness.hub().create_hub()
    connection = SqliteDialect(harness.directory, "TestHub").connect()
    with closing(connection):
        assert connection.raw.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.raw.execute("pragma synchronous").fetchone() == (2,)


@pytest.fixture
def foreign(file: Path) -> Iterator[Path]:
    """A database of another program in the hub's place, that must not be touched."""
    change(file, "create table theirs (x)")
    before = file.read_bytes()
    yield file
    assert file.read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(
    harness: SqliteHarness, foreign: Path
) -> None:
    with pytest.raises(UserError, match="another program") as caught:
        await harness.hub().create_hub()
    assert str(foreign) in str(caught.value)


@pytest.fixture
def no_database(file: Path) -> Path:
    """Some other file in the hub's place."""
    file.write_text("not a database" * 1000, encoding="utf-8")
    return file


async def test_a_file_that_is_no_database_is_named(
    harness: SqliteHarness, no_database: Path
) -> None:
    with pytest.raises(UserError, match="damaged") as caught:
        await harness.hub().create_hub()
    assert str(no_database) in str(caught.value)


async def test_a_hub_of_a_newer_version_is_refused(harness: SqliteHarness, file: Path) -> None:
    await harness.hub().create_hub()
    change(file, "pragma user_version = 99")
    for call in (harness.hub().create_hub(), harness.hub().open(record())):
        with pytest.raises(SchemaMismatch) as caught:
            await call
        assert caught.value.location == str(file)
        assert "99" in caught.value.found


async def test_an_older_hub_is_not_opened_before_it_is_migrated(
    harness: SqliteHarness, file: Path
) -> None:
    await harness.hub().create_hub()
    change(file, "pragma user_version = 0")
    with pytest.raises(SchemaMismatch):
        await harness.hub().open(record())


async def test_what_a_hub_of_an_earlier_version_holds_is_still_there(
    harness: SqliteHarness, file: Path
) -> None:
    hub = harness.hub()
    await hub.create_hub()
    await hub.open(record())
    state, start = make_start("a")
    await hub.create_instance(state, start, ())
    await hub.close()
    for column in ("messages.whole", "activities.large_input", "origins.large_input"):
        table, name = column.split(".")
        change(file, f"alter table {table} drop column {name}")
    change(file, "alter table instances drop column large_output")
    change(file, "pragma user_version = 1")

    hub = harness.hub()
    await hub.create_hub()
    await hub.open(record())
    assert await hub.get_instance("a") == state
    [lease] = await hub.acquire([partition_of("a", 4)])
    [mail] = (await hub.recover(lease, NOON)).mail
    assert (mail.message, mail.withheld) == (start, False)
    await hub.close()


async def test_a_damaged_page_is_reported_with_the_file(harness: SqliteHarness, file: Path) -> None:
    hub = harness.hub()
    await hub.create_hub()
    damage(file)
    with pytest.raises(UserError, match="damaged"):
        await hub.open(record())
    await hub.close()


async def test_a_live_host_of_another_kernel_is_refused(harness: SqliteHarness, file: Path) -> None:
    world = World(harness)
    await world.host()
    change(file, "update hosts set boot_id = 'another'")
    with pytest.raises(UserError, match="another machine"):
        await world.host()
    await world.close()


async def test_a_dead_host_of_an_earlier_boot_is_no_hindrance(
    harness: SqliteHarness, file: Path
) -> None:
    world = World(harness)
    host = await world.owner()
    await host.die()
    change(file, "update hosts set boot_id = 'earlier'")
    await world.owner()
    await world.close()


async def test_what_was_acquired_for_a_cancelled_caller_is_given_back(
    harness: SqliteHarness, file: Path
) -> None:
    """Clause 19: cancelled after the commit, before the answer."""
    world = World(harness)
    first, second = await world.host(), await world.host()
    acquiring = asyncio.ensure_future(first.hub.acquire(range(PARTITIONS)))
    for _ in range(2):  # it is called, then handed to the thread that stores
        await asyncio.sleep(0)
    block_until(file, "select count(holder) from partitions", PARTITIONS)
    acquiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acquiring

    async def can_be_had() -> bool:
        return len(await second.hub.acquire(range(PARTITIONS))) == PARTITIONS

    await until(can_be_had, "a write of the first host that gives them back")
    await world.close()


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="taken"):
        await SqliteHarness(tmp_path / "taken").hub().create_hub()


async def test_closing_leaves_only_the_database_and_its_lock(
    harness: SqliteHarness, tmp_path: Path
) -> None:
    world = World(harness)
    host = await world.owner()
    await host.create("a")
    await world.close()
    assert files_of(tmp_path) == ["TestHub.db", "TestHub.db.lock"]


async def test_a_host_that_closes_leaves_no_row(harness: SqliteHarness, file: Path) -> None:
    world = World(harness)
    host = await world.owner()
    await host.hub.hold_record("timer")
    await world.close()
    with closing(sqlite3.connect(file)) as connection:
        for table in ("hosts", "record_holds"):
            assert connection.execute(f"select * from {table}").fetchall() == []


async def test_deleting_leaves_nothing(harness: SqliteHarness, tmp_path: Path) -> None:
    world = World(harness)
    await world.host()
    await world.close()
    await harness.hub().delete_hub()
    assert files_of(tmp_path) == []


def rows_by_table(file: Path) -> dict[str, int]:
    """How many rows the tables of instances hold."""
    tables = ("instances", "origins", "history", "timers", "activities", "messages")
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: connection.execute(f"select count(*) from {table}").fetchone()[0]
            for table in tables
        }


async def test_a_replaced_or_purged_instance_leaves_no_row(
    harness: SqliteHarness, file: Path
) -> None:
    """What belongs to it hangs on its number: nobody would ever find it again."""
    world = World(harness)
    host = await world.owner()
    instance = await host.running("a")
    await host.step(
        instance,
        activities=[activity(instance.state, 1)],
        timers=[timer(instance.state, 2, at(60))],
        messages=[raised("a")],
    )
    instance = await host.create("a", reusable=REUSE_ANY)
    nothing = {"history": 0, "timers": 0, "activities": 0}
    assert rows_by_table(file) == {"instances": 1, "origins": 1, "messages": 1, **nothing}
    await host.step(
        instance,
        status=RuntimeStatus.COMPLETED,
        events=scheduled(300),
        activities=[activity(instance.state, 1)],
        messages=[raised("a")],
    )
    await host.hub.purge("a")
    assert rows_by_table(file) == {"instances": 0, "origins": 0, "messages": 0, **nothing}
    await world.close()


@pytest.mark.parametrize("name", ["", "../outside", "a/b", ".hidden", "a b"])
def test_a_hub_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_provider("sqlite").create_task_hub(HubSettings(hub=name, state_dir=tmp_path))
    assert caught.value.path == "extensions.durableTask.hubName"


class TestRegistry:
    """Providers are found by name."""

    def test_the_embedded_provider_is_known(self) -> None:
        assert "sqlite" in known_providers()

    def test_names_are_found_in_any_case(self) -> None:
        assert type(find_provider("SQLite")) is type(find_provider("sqlite"))

    def test_an_unknown_name_lists_the_known_ones(self) -> None:
        with pytest.raises(ConfigError, match="sqlite") as caught:
            find_provider("netherite")
        assert "netherite" in caught.value.problem


class TestBell:
    """A host's bell."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Of a bell."""
        return tmp_path / "host.bell"

    @pytest.fixture
    def bell(self, path: Path) -> Iterator[Bell]:
        """It hangs."""
        bell = Bell(path)
        yield bell
        bell.close()

    @staticmethod
    def is_rung(bell: Bell) -> bool:
        """Whether a loop would be told."""
        return select.select([bell.descriptor], [], [], 0)[0] != []

    def test_a_bell_is_quiet_at_first(self, bell: Bell) -> None:
        assert not self.is_rung(bell)

    def test_a_bell_sounds_until_it_is_answered(self, bell: Bell, path: Path) -> None:
        ring(path)
        ring(path)
        assert self.is_rung(bell)
        bell.answer()
        assert not self.is_rung(bell)

    def test_a_bell_that_nobody_answers_does_not_hold_up_the_ringer(
        self, bell: Bell, path: Path
    ) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.write(bell.descriptor, b"\0" * 4096):
                pass
        ring(path)
        bell.answer()
        assert not self.is_rung(bell)

    def test_a_missing_bell_is_not_rung(self, path: Path) -> None:
        ring(path)
        assert not path.exists()


class TestCreation:
    """Making the file while somebody else is at it."""

    async def test_a_writer_that_was_first_is_waited_for(
        self, harness: SqliteHarness, file: Path
    ) -> None:
        """SQLite itself refuses at once where a writer stands in the way of the WAL."""
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            creation = asyncio.ensure_future(harness.hub().create_hub())
            await asyncio.wait({creation}, timeout=0.05)
            is_waiting = not creation.done()
            other.execute("rollback")
            await creation
        assert is_waiting


class TestHeldFiles:
    """Host files within one process."""

    @pytest.fixture
    def held(self, tmp_path: Path) -> Iterator[Path]:
        """A host file that this process holds."""
        path = tmp_path / "host"
        HELD.hold(path)
        yield path
        HELD.release(path)

    def test_a_file_held_by_this_process_is_locked(self, held: Path) -> None:
        assert HELD.is_locked(held)

    def test_a_released_file_is_not_locked(self, held: Path) -> None:
        HELD.release(held)
        HELD.release(held)
        assert not HELD.is_locked(held)

    def test_a_missing_file_is_not_locked(self, tmp_path: Path) -> None:
        assert not HELD.is_locked(tmp_path / "none")

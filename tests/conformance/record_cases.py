"""Cases for named records and holds: clauses 22 and 23."""

from __future__ import annotations

import asyncio

import pytest
from conformance.harness import Host, World

from func_py.durable.storage.base import Record
from func_py.errors import StorageError

KEY = "timer/Nightly"


async def written(host: Host, value: str = "1", key: str = KEY) -> Record:
    """Write the record over what is there; what is stored then."""
    found = await host.hub.read_record(key)
    assert await host.hub.write_record(key, value, found.version if found else 0)
    stored = await host.hub.read_record(key)
    assert stored is not None
    return stored


class RecordCases:
    """Clause 22."""

    async def test_a_record_that_nobody_wrote_is_none(self, world: World) -> None:
        host = await world.host()
        assert await host.hub.read_record(KEY) is None

    async def test_a_record_is_read_as_written_on_every_host(self, world: World) -> None:
        host, other = await world.host(), await world.host()
        value = '{"last": "2026-01-01T00:00:00Z", "text": "\N{SNOWMAN}"}'
        stored = await written(host, value)
        assert (stored.key, stored.value) == (KEY, value)
        assert stored.version >= 1
        assert await other.hub.read_record(KEY) == stored

    async def test_records_of_different_keys_do_not_touch(self, world: World) -> None:
        host = await world.host()
        one, two = await written(host, "1", "a"), await written(host, "2", "A")
        assert await host.hub.read_record("a") == one
        assert await host.hub.read_record("A") == two

    async def test_a_record_is_written_over_the_version_that_was_read(self, world: World) -> None:
        host = await world.host()
        first = await written(host, "1")
        second = await written(host, "2")
        assert second.value == "2"
        assert second.version > first.version

    async def test_a_write_over_an_older_version_changes_nothing(self, world: World) -> None:
        host, other = await world.host(), await world.host()
        old = await written(host, "1")
        new = await written(other, "2")
        assert await host.hub.write_record(KEY, "3", old.version) is False
        assert await host.hub.read_record(KEY) == new

    async def test_a_new_record_needs_a_free_key(self, world: World) -> None:
        host = await world.host()
        stored = await written(host)
        assert await host.hub.write_record(KEY, "2", 0) is False
        assert await host.hub.read_record(KEY) == stored

    async def test_a_write_over_a_record_that_is_not_there_is_refused(self, world: World) -> None:
        host = await world.host()
        assert await host.hub.write_record(KEY, "1", 1) is False
        assert await host.hub.read_record(KEY) is None

    async def test_of_hosts_that_write_at_once_one_succeeds(self, world: World) -> None:
        hosts = [await world.host() for _ in range(3)]
        stored = await written(hosts[0])
        answers = await asyncio.gather(
            *(host.hub.write_record(KEY, host.host_id, stored.version) for host in hosts * 2)
        )
        assert sorted(answers) == [False] * 5 + [True]
        found = await hosts[0].hub.read_record(KEY)
        assert found is not None
        assert found.value == (hosts * 2)[answers.index(True)].host_id

    async def test_a_deleted_record_is_gone(self, world: World) -> None:
        host = await world.host()
        stored = await written(host)
        assert await host.hub.delete_record(KEY, stored.version)
        assert await host.hub.read_record(KEY) is None

    async def test_a_record_of_another_version_is_not_deleted(self, world: World) -> None:
        host = await world.host()
        old = await written(host, "1")
        new = await written(host, "2")
        assert await host.hub.delete_record(KEY, old.version) is False
        assert await host.hub.read_record(KEY) == new

    async def test_a_record_written_anew_never_repeats_a_version(self, world: World) -> None:
        host = await world.host()
        first = await written(host)
        await host.hub.delete_record(KEY, first.version)
        again = await written(host)
        assert again.version > first.version
        assert await host.hub.write_record(KEY, "late", first.version) is False

    async def test_a_record_outlives_its_writer(self, world: World) -> None:
        """Clause 9."""
        host, other = await world.host(), await world.host()
        stored = await written(host)
        await host.die()
        assert await other.hub.read_record(KEY) == stored

    async def test_a_value_that_cannot_be_stored_leaves_the_record_alone(
        self, world: World
    ) -> None:
        host = await world.host()
        stored = await written(host)
        with pytest.raises(StorageError):
            await host.hub.write_record(KEY, "\ud800", stored.version)
        assert await host.hub.read_record(KEY) == stored

    async def test_records_of_other_hubs_are_not_seen(self, world: World) -> None:
        """Clause 20."""
        one, two = await world.host("One"), await world.host("Two")
        await written(one)
        assert await two.hub.read_record(KEY) is None


class HoldCases:
    """Clause 23."""

    async def test_a_key_is_held_by_one_host(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        assert await first.hub.hold_record(KEY)
        assert await second.hub.hold_record(KEY) is False

    async def test_of_hosts_that_hold_at_once_one_succeeds(self, world: World) -> None:
        hosts = [await world.host() for _ in range(4)]
        answers = await asyncio.gather(*(host.hub.hold_record(KEY) for host in hosts))
        assert sorted(answers) == [False, False, False, True]

    async def test_holding_again_is_the_same_hold(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        assert await first.hub.hold_record(KEY)
        assert await first.hub.hold_record(KEY)
        await first.hub.release_record(KEY)
        assert await second.hub.hold_record(KEY)

    async def test_keys_are_held_apart(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        assert await first.hub.hold_record("a")
        assert await second.hub.hold_record("A")

    async def test_releasing_what_another_host_holds_changes_nothing(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        await second.hub.release_record(KEY)
        assert await second.hub.hold_record(KEY) is False

    async def test_a_key_can_be_held_without_a_record(self, world: World) -> None:
        host = await world.host()
        await host.hub.hold_record(KEY)
        assert await host.hub.read_record(KEY) is None
        await written(host)

    async def test_a_hold_lasts_over_writing_and_deleting(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        stored = await written(first)
        await first.hub.delete_record(KEY, stored.version)
        assert await second.hub.hold_record(KEY) is False

    async def test_only_the_holder_changes_the_record(self, world: World) -> None:
        """Clause 22."""
        first, second = await world.host(), await world.host()
        stored = await written(second)
        await first.hub.hold_record(KEY)
        assert await second.hub.write_record(KEY, "2", stored.version) is False
        assert await second.hub.delete_record(KEY, stored.version) is False
        assert await second.hub.read_record(KEY) == stored
        assert await first.hub.write_record(KEY, "2", stored.version)

    async def test_a_held_record_can_be_read_by_all(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        stored = await written(first)
        assert await second.hub.read_record(KEY) == stored

    async def test_a_dead_host_s_hold_is_free(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        await first.die()
        assert await second.hub.hold_record(KEY)

    async def test_a_record_whose_holder_died_can_be_written(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        stored = await written(first)
        await first.die()
        assert await second.hub.write_record(KEY, "2", stored.version)

    async def test_a_closed_host_s_hold_is_free(self, world: World) -> None:
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        await first.hub.close()
        assert await second.hub.hold_record(KEY)

    async def test_a_host_does_not_come_back_to_its_former_holds(self, world: World) -> None:
        """Whoever opens the hub is a new host."""
        first, second = await world.host(), await world.host()
        await first.hub.hold_record(KEY)
        await first.die()
        await second.hub.hold_record(KEY)
        again = await world.host()
        assert await again.hub.hold_record(KEY) is False

"""What only the PostgreSQL provider has: a server, leases that run out, rings, its schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from conformance.harness import PARTITIONS, Host, World, ids_in_different_partitions
from support.durable_values import NOON, activity, at, raised, scheduled, timer
from support.engine import until
from support.postgres_harness import PostgresHarness
from support.postgres_server import PostgresServer
from support.process import wait_for

from func_py.durable.model import RuntimeStatus, new_id
from func_py.durable.storage.base import REUSE_ANY, HostRecord, LostReason, TaskHub
from func_py.durable.storage.registry import HubSettings, find_provider
from func_py.durable.storage.sql.connection import CommitInDoubt
from func_py.durable.storage.sql.postgres.arrays import plain_array, text_array
from func_py.durable.storage.sql.postgres.connection import PostgresConnection
from func_py.durable.storage.sql.postgres.dialect import PostgresDialect
from func_py.errors import (
    ConfigError,
    InstanceAlreadyExists,
    SchemaMismatch,
    StorageError,
    StorageUnavailable,
    UserError,
)

HOUR = timedelta(hours=1)
SHORT_LEASE = timedelta(milliseconds=300)

NewWorld = Callable[..., World]


@pytest.fixture
async def new_world(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[NewWorld]:
    """Makes worlds with settings of their own; keyword arguments as of the harness."""
    worlds: list[World] = []

    def new_world(**settings: object) -> World:
        harness = PostgresHarness(postgres_server.uri, f"{tmp_path.name}.", **settings)  # type: ignore[arg-type]
        worlds.append(World(harness))
        return worlds[-1]

    yield new_world
    for world in worlds:
        await world.close()


def harness_of(world: World) -> PostgresHarness:
    """The harness behind a world of this module."""
    assert isinstance(world.harness, PostgresHarness)
    return world.harness


def dialect_of(hub: TaskHub) -> PostgresDialect:
    """The dialect of a hub."""
    dialect = vars(hub)["_dialect"]
    assert isinstance(dialect, PostgresDialect)
    return dialect


def record() -> HostRecord:
    """A fresh host."""
    return HostRecord(host_id=new_id(), started_at=NOON)


class TestRings:
    """Hosts that look for what others stored once an hour, unless they are told."""

    async def test_the_owner_of_a_message_is_told(self, new_world: NewWorld) -> None:
        world = new_world(poll=HOUR)
        owner, client = await world.owner(), await world.host()
        for number in range(3):
            new = await client.create(f"a{number}")
            assert await owner.receive_texts(1) == [new.start.id]

    async def test_a_host_that_waits_for_work_is_told_what_is_offered(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(poll=HOUR)
        owner, other = await world.owner(), await world.host()
        running = await owner.running("a")
        call = activity(running.state, 1)
        await owner.step(running, activities=[call])
        waiting = asyncio.ensure_future(other.hub.claim_activities(["say"], 1))
        # Behind it: it has looked, and found nothing.
        await other.hub.send([])
        await owner.hub.offer_activities([call])
        assert await asyncio.wait_for(waiting, 20) == [call]

    async def test_offers_that_a_host_cannot_take_do_not_keep_it_busy(
        self, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = new_world(poll=HOUR)
        owner, other = await world.owner(), await world.host()
        running = await owner.running("a")
        call = activity(running.state, 1)
        await owner.step(running, activities=[call])
        await owner.hub.offer_activities([call])
        waiting = asyncio.ensure_future(other.hub.claim_activities(["unknown"], 1))
        for _ in range(5):
            await other.hub.hold_record("key")
        looks: list[str] = []
        execute = PostgresConnection.row

        def counting(self: PostgresConnection, name: str, *values: object) -> object:
            looks.append(name)
            return execute(self, name, *values)

        monkeypatch.setattr(PostgresConnection, "row", counting)
        for _ in range(5):
            await other.hub.hold_record("key")
        waiting.cancel()
        assert "offered_activities" not in looks

    async def test_without_rings_mail_is_found_by_looking(
        self, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As behind a pooler that does not pass notifications on."""
        monkeypatch.setattr(PostgresDialect, "ring", lambda *_: None)
        world = new_world()
        owner, client = await world.owner(), await world.host()
        new = await client.create("a")
        assert await owner.receive_texts(1) == [new.start.id]


class TestAtOnce:
    """Hosts whose transactions run side by side."""

    async def test_messages_of_all_hosts_arrive_once_and_in_order(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(poll=HOUR)
        hosts = [await world.host(owns=[0, 1]), await world.host(owns=[2, 3])]
        ids = ids_in_different_partitions(PARTITIONS)
        for instance_id in ids:
            await hosts[0].create(instance_id)

        async def send_all(sender: str, host: Host) -> None:
            for number in range(20):
                for instance_id in ids:
                    await host.hub.send(
                        [raised(instance_id, id=f"{sender}.{number}.{instance_id}")]
                    )

        await asyncio.gather(send_all("x", hosts[0]), send_all("y", hosts[1]))
        got: dict[tuple[str, str], list[int]] = {}
        for host in hosts:
            for message_id in await host.receive_texts(2 * (1 + 40)):
                if "." in message_id:
                    sender, number, instance_id = message_id.split(".")
                    got.setdefault((sender, instance_id), []).append(int(number))
        assert got == {(sender, i): list(range(20)) for sender in "xy" for i in ids}

    async def test_hosts_that_start_the_same_ids_in_any_order_agree(
        self, new_world: NewWorld
    ) -> None:
        """Clause 1. Each group has many ids, and the groups meet."""
        world = new_world()
        hosts = [await world.host(), await world.host()]
        ids = [f"a{number}" for number in range(20)]

        async def start(host: Host, instance_id: str) -> bool:
            try:
                await host.create(instance_id)
            except InstanceAlreadyExists:
                return False
            return True

        forth = asyncio.gather(*(start(hosts[0], i) for i in ids))
        back = asyncio.gather(*(start(hosts[1], i) for i in reversed(ids)))
        pairs = zip(await forth, reversed(await back), strict=True)
        assert all(first is not second for first, second in pairs)


class TestLeases:
    """Who is alive is a matter of the server's clock."""

    async def test_a_host_that_gives_no_sign_of_life_is_dead_after_its_lease(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(lease=SHORT_LEASE)
        silent, survivor = await world.owner(), await world.host()
        dialect_of(silent.hub).leave(silent.host_id)
        leases = await until(lambda: survivor.hub.acquire(range(PARTITIONS)), "the lease to end")
        assert len(leases) == PARTITIONS
        assert [h.host_id for h in await survivor.hub.hosts()] == [survivor.host_id]

    async def test_a_host_whose_event_loop_is_blocked_stays_alive(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(lease=SHORT_LEASE)
        host = await world.host()
        query = f"select renewed_at from func_py.hosts where host_id = '{host.host_id}'"
        signs = {harness_of(world).execute(query)[0]}

        def has_renewed_often() -> bool:
            signs.add(harness_of(world).execute(query)[0])
            return len(signs) > 4

        wait_for(has_renewed_often, "the lease to be renewed")

    async def test_a_lease_that_ran_out_and_nobody_took_is_renewed(
        self, new_world: NewWorld
    ) -> None:
        world = new_world()
        host = await world.owner()
        instance = await host.running("a")
        await self.taken_for_dead(world, host)
        await host.step(instance)
        assert [h.host_id for h in await host.hub.hosts()] == [host.host_id]

    async def test_a_host_taken_for_dead_has_lost_its_partitions_and_holds(
        self, new_world: NewWorld
    ) -> None:
        """Clauses 5, 22 and 23."""
        world = new_world(poll=HOUR, lease=HOUR)  # it finds out by what it does
        late, heir = await world.owner(), await world.host()
        instance = await late.running("a")
        await late.hub.hold_record("timer")
        await self.taken_for_dead(world, late)
        await heir.own(range(PARTITIONS))
        assert await heir.hub.hold_record("timer")
        assert await late.lost(late.turn(instance)) is LostReason.FENCED
        assert await late.hub.hold_record("timer") is False
        assert await late.hub.write_record("timer", "late", 0) is False
        # It is one of the hosts again, and its messages reach the new owner.
        assert {h.host_id for h in await heir.hub.hosts()} == {late.host_id, heir.host_id}
        message = raised("a")
        await late.hub.send([message])
        assert [m.message for m in await heir.receive(1)] == [message]

    @staticmethod
    async def taken_for_dead(world: World, host: Host) -> None:
        """As a host that was paused, and swept away by another one meanwhile."""
        harness_of(world).execute(f"delete from func_py.hosts where host_id = '{host.host_id}'")
        # After that: told before, it might enter again while its row is still there.
        vars(dialect_of(host.hub))["_keeper"].lease.forgotten()

    async def test_a_host_finds_out_that_it_was_taken_for_dead(self, new_world: NewWorld) -> None:
        """Nobody asks anything of it."""
        world = new_world(lease=SHORT_LEASE, poll=HOUR)
        host, other = await world.host(), await world.host()
        harness_of(world).execute(f"delete from func_py.hosts where host_id = '{host.host_id}'")

        async def both_are_listed() -> bool:
            return len(await other.hub.hosts()) == 2

        await until(both_are_listed, "the host to enter the hub again")

    async def test_a_host_taken_for_dead_is_overdue_until_it_has_renewed(
        self, new_world: NewWorld
    ) -> None:
        """Clause 29; and it is told that its leases are gone."""
        world = new_world(poll=HOUR, lease=HOUR)  # it finds out by what it does
        late, heir = await world.owner(), await world.host()
        known = await late.hub.watch_hosts([])
        await self.taken_for_dead(world, late)
        assert late.hub.is_overdue
        [lease] = await heir.hub.acquire([2])
        leases = await late.hub.renew()
        assert sorted(lease.partition for lease in leases) == [0, 1, 3]
        assert not late.hub.is_overdue
        async with asyncio.timeout(20):
            await late.hub.watch_hosts(known)
        assert lease in await heir.hub.renew()

    async def test_a_host_that_cannot_give_a_sign_of_life_is_overdue(
        self, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Clause 29: before the others could act on it."""
        world = new_world(lease=SHORT_LEASE)
        host = await world.host()
        execute = PostgresConnection.execute

        def refuses(self: PostgresConnection, name: str, *values: object) -> int:
            if name == "renew_host":
                raise psycopg.OperationalError("the server is not reached")
            return execute(self, name, *values)

        monkeypatch.setattr(PostgresConnection, "execute", refuses)
        await until(lambda: is_true(lambda: host.hub.is_overdue), "the lease to run out")
        await host.hub.renew()
        assert not host.hub.is_overdue

    async def test_a_host_that_enters_again_says_what_it_published_last(
        self, new_world: NewWorld
    ) -> None:
        world = new_world()
        host = await world.host(functions=["activity:say"])
        await host.hub.publish(["activity:sing"])
        await self.taken_for_dead(world, host)
        await host.hub.renew()
        assert [list(h.functions) for h in await host.hub.hosts()] == [["activity:sing"]]

    async def test_a_host_stopped_amid_a_transaction_holds_the_others_up_for_its_lease(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(lease=SHORT_LEASE)
        other = await world.host()
        dialect = harness_of(world).dialect()
        with closing(dialect.connect()) as connection:
            with (
                pytest.raises(CommitInDoubt) as caught,
                dialect.transaction(connection, shared=False),
            ):
                await other.create("a")
            assert caught.value.was_committed() is False

    async def test_a_session_that_the_server_ends_leaves_the_commit_in_doubt(
        self, new_world: NewWorld
    ) -> None:
        """Also when its last word is read before the end of the connection is seen."""
        world = new_world()
        other = await world.host()
        harness = harness_of(world)
        dialect = harness.dialect()
        with closing(dialect.connect()) as connection:
            assert isinstance(connection, PostgresConnection)
            backend = connection.raw.info.backend_pid
            with (
                pytest.raises(CommitInDoubt) as caught,
                dialect.transaction(connection, shared=False),
            ):
                harness.execute(f"select pg_terminate_backend({backend}, 5000)")
            assert caught.value.was_committed() is False
        await other.create("a")

    async def test_a_commit_that_the_driver_gets_no_answer_to_is_in_doubt(
        self, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The driver may give up before it has seen that the connection is lost."""
        world = new_world()
        await world.host()
        dialect = harness_of(world).dialect()
        commit = PostgresConnection.commit

        def gives_up(self: PostgresConnection) -> None:
            self.raw.execute("select pg_current_xact_id()")  # there is something to be committed
            commit(self)
            raise psycopg.OperationalError("cannot exit pipeline mode while busy")

        with closing(dialect.connect()) as connection:
            monkeypatch.setattr(PostgresConnection, "commit", gives_up)
            with (
                pytest.raises(CommitInDoubt) as caught,
                dialect.transaction(connection, shared=False),
            ):
                pass
            assert caught.value.was_committed() is True

    async def test_a_host_stopped_while_it_sends_a_transaction_holds_nobody_up_for_longer(
        self, new_world: NewWorld
    ) -> None:
        """The server waits for the rest of what it sends, and calls that active."""
        world = new_world(lease=SHORT_LEASE)
        other = await world.host()
        dialect = harness_of(world).dialect()
        with closing(dialect.connect()) as connection:
            assert isinstance(connection, PostgresConnection)
            sending = connection.raw.pgconn
            with (
                suppress(psycopg.Error, CommitInDoubt),
                dialect.transaction(connection, shared=False),
            ):
                sending.enter_pipeline_mode()
                sending.send_query_params(b"select 1", None)
                sending.send_flush_request()
                sending.flush()
                await other.create("a")


class TestArrays:
    """Rows travel as a text per column."""

    TEXTS = ("", "NULL", "null", '"', "\\", '\\"', "{}", ",", " a ", "é\U0001f600", "a\r\n\tb", "'")

    @pytest.mark.parametrize("column", [TEXTS, (*TEXTS, None), (None,), ("a",), ()])
    def test_texts_arrive_as_they_were_sent(
        self, postgres_server: PostgresServer, column: Sequence[str | None]
    ) -> None:
        with psycopg.connect(postgres_server.uri, cursor_factory=psycopg.RawCursor) as connection:
            found = connection.execute("select unnest($1::text[])", [text_array(column)])
            assert [text for (text,) in found] == list(column)

    def test_numbers_and_truth_values_arrive(self, postgres_server: PostgresServer) -> None:
        arrays = plain_array([-1, 2**62]), plain_array([True, False])
        with psycopg.connect(postgres_server.uri, cursor_factory=psycopg.RawCursor) as connection:
            found = connection.execute("select * from unnest($1::bigint[], $2::boolean[])", arrays)
            assert found.fetchall() == [(-1, True), (2**62, False)]

    @pytest.mark.parametrize("column", [["a\0b"], ["a", "\0"], ["a", None, "b\0"]])
    def test_a_text_that_cannot_be_stored_is_no_boundary(self, column: list[str | None]) -> None:
        with pytest.raises(psycopg.DataError, match="NUL"):
            text_array(column)


class TestPlans:
    """What a turn costs does not grow with what else is stored."""

    async def test_rows_are_found_by_an_index_though_the_tables_are_empty(
        self, new_world: NewWorld
    ) -> None:
        """The server keeps the plans that it made then."""
        world = new_world()
        await world.harness.hub().create_hub()
        dialect = harness_of(world).dialect()
        with closing(dialect.connect()) as connection:
            texts: dict[str, str] = vars(connection)["_texts"]
            plans = {
                name: str(
                    connection.raw.execute(f"explain (generic_plan, format json) {text}").fetchone()
                )
                for name, text in texts.items()
                if "unnest" in text
            }
        assert "delete_activities" in plans
        assert [name for name, plan in plans.items() if "Seq Scan" in plan] == []


class TestHubs:
    """Many hubs share one schema; installations have one each."""

    async def test_hosts_that_make_the_schema_at_once_agree(self, new_world: NewWorld) -> None:
        world = new_world(schema=f"s{new_id()}")
        names = ["One", "Two", "One", "Two", "One"]
        await asyncio.gather(*(world.harness.hub(name).create_hub() for name in names))
        for name in ("One", "Two"):
            host = await world.host(name)
            assert len(await host.hub.acquire(range(PARTITIONS))) == PARTITIONS

    async def test_deleting_a_hub_leaves_the_others_alone(self, new_world: NewWorld) -> None:
        world = new_world()
        one, two = await world.host("One", owns=[0, 1, 2, 3]), await world.host("Two")
        await one.running("a")
        kept = await two.create("a")
        await two.hub.write_record("key", "value", 0)
        await one.hub.close()
        await world.harness.hub("One").delete_hub()
        assert await two.hub.get_instance("a") == kept.state
        assert await two.hub.read_record("key") is not None
        assert await two.pending("a") == [kept.start]

    async def test_nothing_is_left_of_a_deleted_hub(self, new_world: NewWorld) -> None:
        world = new_world(schema=f"s{new_id()}")
        host = await world.owner()
        instance = await host.running("a")
        await host.step(
            instance,
            activities=[activity(instance.state, 1)],
            timers=[timer(instance.state, 2, at(60))],
            messages=[raised("a")],
        )
        await host.hub.write_record("key", "value", 0)
        await host.hub.hold_record("key")
        await host.hub.close()
        await world.harness.hub().delete_hub()
        assert {table: n for table, n in self.rows_by_table(world).items() if n} == {
            "schema_version": 1
        }

    async def test_a_replaced_or_purged_instance_leaves_no_row(self, new_world: NewWorld) -> None:
        """What belongs to it hangs on its number: nobody would ever find it again."""
        world = new_world(schema=f"s{new_id()}")
        host = await world.owner()
        instance = await host.running("a")
        await host.step(
            instance,
            activities=[activity(instance.state, 1)],
            timers=[timer(instance.state, 2, at(60))],
            messages=[raised("a")],
        )
        instance = await host.create("a", reusable=REUSE_ANY)
        rows = self.rows_by_table(world)
        assert (rows["instances"], rows["origins"], rows["messages"]) == (1, 1, 1)
        assert (rows["history"], rows["timers"], rows["activities"]) == (0, 0, 0)
        await host.step(instance, status=RuntimeStatus.COMPLETED, events=scheduled(300))
        await host.hub.purge("a")
        rows = self.rows_by_table(world)
        assert (rows["instances"], rows["origins"], rows["history"]) == (0, 0, 0)
        assert rows["messages"] == 0

    @staticmethod
    def rows_by_table(world: World) -> dict[str, int]:
        """How many rows each table of the schema has."""
        harness = harness_of(world)
        tables = harness.execute(
            f"select table_name from information_schema.tables "
            f"where table_schema = '{harness.schema}'"
        )
        return {
            table: harness.execute(f'select count(*) from {harness.schema}."{table}"')[0][0]
            for (table,) in tables
        }

    async def test_a_newer_schema_is_refused(self, new_world: NewWorld) -> None:
        world = new_world(schema=f"s{new_id()}")
        harness = harness_of(world)
        await harness.hub().create_hub()
        harness.execute(f"update {harness.schema}.schema_version set version = 99")
        with pytest.raises(SchemaMismatch):
            await harness.hub().create_hub()
        with pytest.raises(SchemaMismatch):
            await harness.hub().open(record())

    async def test_hosts_of_a_hub_made_by_an_earlier_version_have_leases(
        self, new_world: NewWorld
    ) -> None:
        """In the first version of the schema the hub had one lease time for all of them."""
        world = new_world(schema=f"s{new_id()}")
        harness = harness_of(world)
        await harness.hub().create_hub()
        self.go_back_to_version_1(harness)
        host = await world.host()
        assert await host.hub.acquire(range(PARTITIONS))

    @staticmethod
    def go_back_to_version_1(harness: PostgresHarness) -> None:
        """What the later migrations did is undone."""
        schema = harness.schema
        harness.execute(
            f"alter table {schema}.messages drop column whole;"
            f"alter table {schema}.activities drop column large_input;"
            f"alter table {schema}.origins drop column large_input;"
            f"alter table {schema}.instances drop column large_output;"
            f"alter table {schema}.hosts drop column lease_ms;"
            f"alter table {schema}.hubs add column lease_ms integer not null default 15000;"
            f"insert into {schema}.hosts (hub, host_id, boot_id, started_at, functions)"
            f"  select number, 'former', '', 0, '[]' from {schema}.hubs;"
            f"update {schema}.schema_version set version = 1"
        )

    async def test_a_key_that_no_index_can_hold_is_refused(self, new_world: NewWorld) -> None:
        """For good: nobody is told to try again."""
        host = await new_world().host()
        with pytest.raises(StorageError) as caught:
            await host.hub.write_record("".join(new_id() for _ in range(500)), "value", 0)
        assert not isinstance(caught.value, StorageUnavailable)

    async def test_a_user_without_rights_is_told_so(
        self, new_world: NewWorld, postgres_server: PostgresServer
    ) -> None:
        world = new_world(schema=f"s{new_id()}")
        harness = harness_of(world)
        role = f"r{new_id()}"
        harness.execute(f"create role {role} login")
        poor = PostgresHarness(
            postgres_server.uri.replace("postgres:@", f"{role}@"), "", schema="x"
        )
        with pytest.raises(UserError, match="may not"):
            await poor.hub().create_hub()

    async def test_a_server_that_is_not_there_is_unavailable(self, tmp_path: Path) -> None:
        hub = PostgresHarness(f"host={tmp_path} dbname=none password=secret", "").hub()
        for attempt in (hub.create_hub(), hub.open(record())):
            with pytest.raises(StorageUnavailable) as caught:
                await attempt
            assert "secret" not in str(caught.value)


class TestProvider:
    """What host.json says."""

    @staticmethod
    def settings(app_settings: dict[str, str], **options: str) -> HubSettings:
        """Of a hub named Hub."""
        return HubSettings(hub="Hub", state_dir=Path(), options=options, app_settings=app_settings)

    async def test_host_json_and_an_app_setting_lead_to_the_server(
        self, postgres_server: PostgresServer
    ) -> None:
        schema = f"s{new_id()}"
        settings = self.settings(
            {"HUB_DATABASE": postgres_server.uri},
            connectionStringName="HUB_DATABASE",
            schemaName=schema,
            leaseTime="00:00:07",
        )
        hub = find_provider("Postgres").create_task_hub(settings)
        await hub.create_hub()
        info = await hub.open(record())
        behind = PostgresHarness(postgres_server.uri, "", schema=schema)
        leases = behind.execute(f"select lease_ms from {schema}.hosts")
        await hub.close()
        assert (info.name, info.provider, leases) == ("Hub", "postgres", [(7000,)])

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({}, "connectionStringName: is missing"),
            ({"connectionStringName": "NONE"}, "'NONE', which is not set"),
            ({"connectionStringName": "BAD"}, "'BAD' is not a connection string"),
            ({"connectionStringName": "GOOD", "schemaName": "a b"}, "'a b' cannot name a schema"),
            ({"connectionStringName": "GOOD", "schemaName": "pg_x"}, "cannot name a schema"),
        ],
    )
    def test_settings_that_lead_nowhere_are_named(
        self, options: dict[str, str], problem: str
    ) -> None:
        strings = {"BAD": "Server=db;Password=secret;", "GOOD": "postgresql://db/name"}
        with pytest.raises(ConfigError) as caught:
            find_provider("postgres").create_task_hub(self.settings(strings, **options))
        assert problem in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_people_are_shown_the_place_without_the_password(self) -> None:
        parameters = {"host": "db", "user": "me", "password": "secret", "dbname": "d"}
        location = PostgresDialect(parameters, "func_py", "Hub").location
        assert location == "db:5432/d, schema func_py, hub Hub"


async def is_true(check: Callable[[], bool]) -> bool:
    """A check that need not wait."""
    return check()

"""What only the SQL Server provider has: its language, its settings, errors of its driver."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import mssql_python
import pytest
import sqlglot
from conformance.harness import PARTITIONS, World
from mssql_python.exceptions import sqlstate_to_exception
from sqlglot import exp
from support.durable_values import NOON
from support.engine import until
from support.mssql_harness import MssqlHarness
from support.mssql_on_postgres import PostgresSession

from func_py.durable.model import new_id
from func_py.durable.storage.base import HostRecord, LostReason, TaskHub
from func_py.durable.storage.registry import HubSettings, find_provider
from func_py.durable.storage.sql.connection import CommitInDoubt
from func_py.durable.storage.sql.migrations import load_migrations
from func_py.durable.storage.sql.mssql.connection import MssqlConnection, Statement, fill
from func_py.durable.storage.sql.mssql.connection_string import (
    BadConnectionString,
    Target,
    parse_connection_string,
)
from func_py.durable.storage.sql.mssql.dialect import MssqlDialect
from func_py.durable.storage.sql.mssql.session import (
    ConnectionFailed,
    ConnectionRefused,
    Cursor,
    Deadlocked,
    DriverSession,
    Session,
)
from func_py.durable.storage.sql.queries import load_queries
from func_py.errors import ConfigError, InternalError, StorageUnavailable, UserError

SQL = files("func_py.durable.storage.sql")
QUERIES = load_queries(SQL / "mssql" / "queries.sql", "")
POSTGRES_QUERIES = load_queries(SQL / "postgres" / "queries.sql", "")

OURS_ALONE = {
    "begin",
    "commit",
    "commit_mark",
    "create_schema_version",
    "database",
    "delete_hub_commits",
    "enter",
    "has_database",
    "has_schema",
    "insert_schema_version",
    "lock",
    "rollback",
    "set_schema_version",
    "tables",
}
"""How transactions begin and end, and how a schema is looked at and made."""

THEIRS_ALONE = {
    "end_idle_holders",
    "has_hubs",
    "lock_hub",
    "ring",
    "share_hub",
    "transaction_status",
}

UNKNOWN_TO_THE_PARSER = {"begin_change"}

# Reserved in Transact-SQL: an identifier that is one of these must stand in brackets.
RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
    add all alter and any as asc authorization backup begin between break browse bulk by cascade
    case check checkpoint close clustered coalesce collate column commit compute constraint contains
    containstable continue convert create cross current current_date current_time current_timestamp
    current_user cursor database dbcc deallocate declare default delete deny desc disk distinct
    distributed double drop dump else end errlvl escape except exec execute exists exit external
    fetch file fillfactor for foreign freetext freetexttable from full function goto grant group
    having holdlock identity identity_insert identitycol if in index inner insert intersect into is
    join key kill left like lineno load merge national nocheck nonclustered not null nullif of off
    offsets on open opendatasource openquery openrowset openxml option or order outer over percent
    pivot plan precision primary print proc procedure public raiserror read readtext reconfigure
    references replication restore restrict return revert revoke right rollback rowcount rowguidcol
    rule save schema securityaudit select semantickeyphrasetable session_user set setuser shutdown
    some statistics system_user table tablesample textsize then to top tran transaction trigger
    truncate try_convert tsequal union unique unpivot update updatetext use user values varying view
    waitfor when where while with within writetext
    """,
    )
)


def statements() -> list[tuple[str, str]]:
    """Every statement the provider can send, with its name."""
    queries = [(name, Statement(query, "func_py", 1).text) for name, query in QUERIES.items()]
    migrations = [
        (f"schema {migration.version}.{number}", fill(text, "func_py"))
        for migration in load_migrations(SQL / "mssql" / "schema")
        for number, text in enumerate(migration.statements)
    ]
    return [(name, text) for name, text in queries + migrations if text]


class TestLanguage:
    """No server judges it here; a parser does."""

    @pytest.mark.parametrize(("name", "text"), statements())
    def test_every_statement_is_transact_sql(self, name: str, text: str) -> None:
        if name in UNKNOWN_TO_THE_PARSER:
            return
        for tree in sqlglot.parse(text, dialect="tsql"):
            assert tree is not None
            assert not isinstance(tree, exp.Command), tree

    @pytest.mark.parametrize(("name", "text"), statements())
    def test_no_name_is_a_reserved_word(self, name: str, text: str) -> None:
        if name in UNKNOWN_TO_THE_PARSER:
            return
        for tree in sqlglot.parse(text, dialect="tsql"):
            assert tree is not None
            bare = {i.name.lower() for i in tree.find_all(exp.Identifier) if not i.quoted}
            assert not bare & RESERVED

    def test_there_is_a_statement_for_each_of_the_other_server_s(self) -> None:
        assert set(QUERIES) - OURS_ALONE == set(POSTGRES_QUERIES) - THEIRS_ALONE

    @pytest.mark.parametrize("name", sorted(set(QUERIES) & set(POSTGRES_QUERIES)))
    def test_values_come_in_the_order_they_have_elsewhere(self, name: str) -> None:
        ours, theirs = QUERIES[name], POSTGRES_QUERIES[name]
        columns = [column.split()[0] for column in ours.columns if column != "position int"]
        assert columns == [column.split()[0] for column in theirs.columns]
        if not columns:
            used = {int(number) for number in re.findall(r"\$(\d+)", ours.text)}
            assert used == {int(number) for number in re.findall(r"\$(\d+)", theirs.text)}


PORTAL = (
    "Server=tcp:x.database.windows.net,1433;Initial Catalog=Hub;Persist Security Info=False;"
    "User ID=me;Password=p;MultipleActiveResultSets=False;Encrypt=True;"
    "TrustServerCertificate=False;Connection Timeout=30;"
)
"""The form in which the portal shows them."""


class TestConnectionString:
    """As .NET programs and the portal write them."""

    @pytest.mark.parametrize(
        ("text", "keywords"),
        [
            (
                PORTAL,
                {
                    "Server": "tcp:x.database.windows.net,1433",
                    "Database": "Hub",
                    "UID": "me",
                    "PWD": "p",
                    "Encrypt": "yes",
                    "TrustServerCertificate": "no",
                },
            ),
            (
                "Data Source=.;Database=Hub;Integrated Security=SSPI",
                {"Server": ".", "Database": "Hub", "Trusted_Connection": "yes"},
            ),
            (
                'server = h ; uid=u;pwd="a;b""c"; Encrypt=Strict',
                {"Server": "h", "UID": "u", "PWD": 'a;b"c', "Encrypt": "Strict"},
            ),
            ("Server=h;Pwd='it''s';", {"Server": "h", "PWD": "it's"}),
            ("Server=h;PWD={a}}b}", {"Server": "h", "PWD": "a}b"}),
            (
                "Server=h;Authentication=Active Directory Managed Identity;User Id=x",
                {"Server": "h", "Authentication": "ActiveDirectoryMSI", "UID": "x"},
            ),
            (
                "Server=h;Authentication=Active Directory Default",
                {"Server": "h", "Authentication": "ActiveDirectoryDefault"},
            ),
            ("Server=h;Authentication=Sql Password", {"Server": "h"}),
        ],
    )
    def test_its_words_become_those_of_the_driver(
        self, text: str, keywords: dict[str, str]
    ) -> None:
        assert parse_connection_string(text).keywords == keywords

    def test_the_timeout_is_kept(self) -> None:
        assert parse_connection_string("Server=h;Connect Timeout=7").connect_timeout_s == 7

    def test_values_are_written_so_that_the_driver_reads_them_back(self) -> None:
        assert Target({"Server": "h", "PWD": "a;b}c"}).text == "Server={h};PWD={a;b}}c};"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("Server=h;Pasword=secret", "'Pasword' is not known. Did you mean 'password'"),
            ("Server=h;Colour=secret", "'Colour' is not known"),
            ("Database=secret", "names no Server"),
            ("secret", "'word=value' pairs"),
            ("Server=h;Connect Timeout=secret", "no number of seconds"),
        ],
    )
    def test_what_is_wrong_is_said_without_a_value(self, text: str, problem: str) -> None:
        with pytest.raises(BadConnectionString) as caught:
            parse_connection_string(text)
        assert problem in str(caught.value)
        assert "secret" not in str(caught.value)


class TestProvider:
    """What host.json says."""

    @staticmethod
    def settings(app_settings: dict[str, str], **options: object) -> HubSettings:
        """Of a hub named Hub."""
        return HubSettings(hub="Hub", state_dir=Path(), options=options, app_settings=app_settings)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({}, "connectionStringName: is missing"),
            ({"connectionStringName": "NONE"}, "'NONE', which is not set"),
            ({"connectionStringName": "BAD"}, "'Pasword' is not known"),
            ({"connectionStringName": "GOOD", "schemaName": "a b"}, "'a b' cannot name a schema"),
            (
                {"connectionStringName": "GOOD", "createDatabaseIfNotExists": "perhaps"},
                "neither true nor false",
            ),
        ],
    )
    def test_unusable_settings_are_named(self, options: dict[str, object], problem: str) -> None:
        app_settings = {"GOOD": "Server=h", "BAD": "Server=h;Pasword=secret"}
        with pytest.raises(ConfigError) as caught:
            find_provider("mssql").create_task_hub(self.settings(app_settings, **options))
        assert problem in str(caught.value)
        assert "secret" not in str(caught.value)

    async def test_a_server_that_is_not_there_is_told_from_one_that_refuses(self) -> None:
        """By the real driver; without its system libraries it says which are missing."""
        settings = self.settings(
            {"S": "Server=127.0.0.1,1;User ID=u;Password=secret;Connect Timeout=1"},
            connectionStringName="S",
        )
        hub = find_provider("MsSql").create_task_hub(settings)
        with pytest.raises((StorageUnavailable, UserError)) as caught:
            await hub.create_hub()
        assert "127.0.0.1,1" in str(caught.value)
        assert "secret" not in str(caught.value)
        if isinstance(caught.value, UserError):
            assert "libltdl" in str(caught.value)


class _Failing:
    """A driver's connection and cursor whose statements fail as told, one after the other."""

    def __init__(self, *states: tuple[str, str]) -> None:
        self._states = list(states)

    def cursor(self) -> _Failing:
        return self

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> _Failing:
        if self._states:
            error = sqlstate_to_exception(*self._states.pop(0))
            assert error is not None
            raise error
        return self

    def fetchall(self) -> list[object]:
        return []

    def close(self) -> None:
        """Nothing to close."""


LOST = ("08S01", "Communication link failure")


class TestErrors:
    """What the driver says, in the words of the contract."""

    @staticmethod
    def session(*states: tuple[str, str]) -> DriverSession:
        """A session that is connected, and then fails."""
        session = object.__new__(DriverSession)
        session.is_lost = False
        vars(session).update(_raw=_Failing(), _cursor=_Failing(*states))
        return session

    @staticmethod
    def dialect() -> MssqlDialect:
        """Of a server that is not asked."""
        return MssqlDialect(Target({"Server": "h", "PWD": "secret"}), "func_py", "Hub")

    @pytest.mark.parametrize(
        ("states", "kind", "is_lost"),
        [
            ([("40001", "deadlocked on lock resources")], Deadlocked, False),
            ([("23000", "Violation of PRIMARY KEY")], mssql_python.IntegrityError, False),
            ([("22001", "would be truncated")], mssql_python.DataError, False),
            ([("HYT00", "Lock request time out")], mssql_python.OperationalError, False),
            ([LOST, LOST], ConnectionFailed, True),
            ([("HY000", "TDS stream"), LOST], ConnectionFailed, True),
        ],
    )
    def test_errors_are_sorted(
        self, states: list[tuple[str, str]], kind: type[Exception], is_lost: bool
    ) -> None:
        session = self.session(*states)
        with pytest.raises(mssql_python.Error) as caught:
            session.execute("select 1")
        assert isinstance(caught.value, kind)
        assert session.is_lost is is_lost

    def test_what_may_pass_is_unavailable(self) -> None:
        for kind in (Deadlocked, ConnectionFailed):
            assert isinstance(self.dialect().translate(kind("a", "b")), StorageUnavailable)

    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            (ConnectionRefused("Login failed", ""), "Login failed"),
            (ConnectionRefused("", "Cannot open database"), "createDatabaseIfNotExists"),
            (ConnectionRefused("", "Failed to load the driver"), "apt-get install"),
            (
                mssql_python.ProgrammingError("", "The INSERT permission was denied on x"),
                "may not do",
            ),
        ],
    )
    def test_what_the_user_can_change_is_told(self, error: Exception, advice: str) -> None:
        translated = self.dialect().translate(error)
        assert isinstance(translated, UserError)
        assert advice in str(translated)
        assert "secret" not in str(translated)

    def test_a_statement_that_the_server_does_not_know_is_our_bug(self) -> None:
        error = mssql_python.ProgrammingError("Syntax error", "Incorrect syntax")
        assert isinstance(self.dialect().translate(error), InternalError)


NewWorld = Callable[..., World]


@pytest.fixture
async def new_world(translating_server: str, tmp_path: Path) -> AsyncIterator[NewWorld]:
    """Makes worlds with settings of their own; keyword arguments as of the harness."""
    worlds: list[World] = []

    def new_world(**settings: object) -> World:
        harness = MssqlHarness(f"{tmp_path.name}.", postgres=translating_server, **settings)  # type: ignore[arg-type]
        worlds.append(World(harness))
        return worlds[-1]

    yield new_world
    for world in worlds:
        await world.close()


def harness_of(world: World) -> MssqlHarness:
    """The harness behind a world of this module."""
    assert isinstance(world.harness, MssqlHarness)
    return world.harness


def dialect_of(hub: TaskHub) -> MssqlDialect:
    """The dialect of a hub."""
    dialect = vars(hub)["_dialect"]
    assert isinstance(dialect, MssqlDialect)
    return dialect


class TestHubs:
    """What the dialect does around its statements; they are translated."""

    async def test_hosts_that_make_the_schema_at_once_agree(self, new_world: NewWorld) -> None:
        world = new_world(schema=f"s{new_id()}")
        names = ["One", "Two", "One"]
        await asyncio.gather(*(world.harness.hub(name).create_hub() for name in names))
        for name in ("One", "Two"):
            host = await world.host(name)
            assert len(await host.hub.acquire(range(PARTITIONS))) == PARTITIONS

    async def test_a_schema_with_tables_of_another_program_is_refused(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(schema=f"s{new_id()}")
        harness = harness_of(world)
        harness.execute(f"create schema {harness.schema}")
        harness.execute(f"create table {harness.schema}.Instances (number int not null)")
        with pytest.raises(UserError, match="tables of another program"):
            await harness.hub().create_hub()

    async def test_a_host_that_gives_no_sign_of_life_is_dead_after_its_lease(
        self, new_world: NewWorld
    ) -> None:
        world = new_world(lease=timedelta(milliseconds=300))
        silent, survivor = await world.owner(), await world.host()
        dialect_of(silent.hub).leave(silent.host_id)
        leases = await until(lambda: survivor.hub.acquire(range(PARTITIONS)), "the lease to end")
        assert len(leases) == PARTITIONS

    async def test_a_host_taken_for_dead_has_lost_its_partitions_and_comes_back(
        self, new_world: NewWorld
    ) -> None:
        """Clauses 5 and 23."""
        world = new_world()
        late, heir = await world.owner(), await world.host()
        instance = await late.running("a")
        harness = harness_of(world)
        harness.execute(f"delete from [{harness.schema}].hosts where host_id = '{late.host_id}'")
        await heir.own(range(PARTITIONS))
        vars(dialect_of(late.hub))["_keeper"].lease.forgotten()
        assert await late.lost(late.turn(instance)) is LostReason.FENCED
        assert {h.host_id for h in await heir.hub.hosts()} == {late.host_id, heir.host_id}


class _Dying:
    """A session that goes away while it commits, before or after the server has done so."""

    def __init__(self, session: Session, *, after: bool) -> None:
        self._session = session
        self._after = after
        self.is_lost = False

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor:
        """Execute, and die at the commit."""
        if sql != "commit transaction":
            return self._session.execute(sql, parameters)
        if self._after:
            self._session.execute(sql)
        self.close()
        raise ConnectionFailed("Communication link failure", "")

    def close(self) -> None:
        """Undo what was not committed."""
        self.is_lost = True
        self._session.close()


class TestInDoubt:
    """A connection that is lost in a commit."""

    @pytest.mark.parametrize("committed", [True, False])
    async def test_whether_it_was_committed_is_found_out(
        self, new_world: NewWorld, translating_server: str, *, committed: bool
    ) -> None:
        world = new_world()
        await world.host()
        sessions: list[Session] = []

        def connect(target: Target, wait_ms: int) -> Session:
            session = PostgresSession(translating_server, wait_ms)
            sessions.append(session)
            return session

        dialect = MssqlDialect(
            Target({"Server": "h"}),
            harness_of(world).schema,
            vars(dialect_of(world.harness.hub()))["_hub"],
            connect=connect,
        )
        with closing(dialect.connect()) as connection:
            assert isinstance(connection, MssqlConnection)
            dialect.enter(HostRecord(host_id=new_id(), started_at=NOON))
            try:
                with dialect.transaction(connection, shared=False):
                    pass
                connection.raw = _Dying(connection.raw, after=committed)
                with (
                    pytest.raises(CommitInDoubt) as caught,
                    dialect.transaction(connection, shared=False),
                ):
                    pass
                assert caught.value.was_committed() is committed
            finally:
                dialect.leave("")

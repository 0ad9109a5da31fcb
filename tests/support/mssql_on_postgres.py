"""Executes what the SQL Server provider sends, on PostgreSQL.

No SQL Server runs where these tests do. What can be tested without one is the logic of its
statements: a parser turns each into a tree, what PostgreSQL has another form for is rewritten, and
the conformance suite runs on that. It says nothing about what only the real server knows: locks of
rows, types of parameters, plans, the driver.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import mssql_python
import psycopg
import sqlglot
from psycopg import errors as pg
from sqlglot import exp

from func_py.durable.storage.sql.mssql.session import ConnectionFailed, Cursor, Deadlocked

_LOCK = "set nocount on;\ndeclare @granted"
_VERBATIM = {
    "begin transaction": "begin",
    "save transaction change": "savepoint change",
    "rollback transaction change": "rollback to savepoint change",
    "if @@trancount > 0 rollback transaction": "rollback",
}
_DATABASE = "select 14, 3, 150, 1, current_database()"
_TYPES = {
    "INT": "integer",
    "BIGINT": "bigint",
    "BIT": "boolean",
    "NVARCHAR": "text",
    "DATETIME2": "timestamp",
}
_NOW = "(clock_timestamp() at time zone 'utc')"
_BODIES = "cast(json_agg(page.body order by page.first_event) as text)"


_CATALOG = """
create schema if not exists sys;
create or replace view sys.schemas as select oid as schema_id, nspname as name from pg_namespace;
create or replace view sys.tables as
    select relname as name, relnamespace as schema_id from pg_class where relkind = 'r';
"""


def prepare(uri: str) -> None:
    """Make the views of SQL Server's catalog that the provider reads."""
    with psycopg.connect(uri) as connection:
        connection.execute(_CATALOG.encode())


class PostgresSession:
    """See `func_py.durable.storage.sql.mssql.session.Session`.

    Args:
        uri: Of the PostgreSQL server.
        wait_ms: How long a lock is waited for.
    """

    def __init__(self, uri: str, wait_ms: int) -> None:
        self.is_lost = False
        with _errors_of_the_driver():
            self._raw = psycopg.connect(uri, autocommit=True, client_encoding="utf8")
            self._raw.execute(f"set lock_timeout = {wait_ms}".encode())

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor:
        """See `Session.execute`."""
        values = {f"p{number}": value for number, value in enumerate(parameters)}
        try:
            with _errors_of_the_driver():
                if sql.startswith(_LOCK):
                    self._lock(parameters)
                    if "commits" in sql:
                        self._mark(sql, parameters)
                *first, last = _translated(sql)
                for text in first:
                    self._raw.execute(text.encode(), values or None)
                return self._raw.execute(last.encode(), values or None)
        finally:
            self.is_lost = self._raw.closed

    def close(self) -> None:
        """See `Session.close`."""
        self._raw.close()

    def _lock(self, values: Sequence[object]) -> None:
        name, mode = values[:2]
        key = int(str(name)[:15], 16)
        how = "_shared" if mode == "Shared" else ""
        self._raw.execute(f"select pg_advisory_xact_lock{how}({key})".encode())

    def _mark(self, sql: str, values: Sequence[object]) -> None:
        """The conditional part of `enter`; its values are host, number, host, host, number."""
        host_id, number = values[3], values[4]
        [table] = re.findall(r"update \[(\w+)\]\.commits", sql)
        if host_id:
            self._raw.execute(
                f"insert into {table}.commits values (%s, %s) "
                "on conflict (host_id) do update set number = excluded.number".encode(),
                [host_id, number],
            )


@contextmanager
def _errors_of_the_driver() -> Iterator[None]:
    """What SQL Server's driver would have raised."""
    try:
        yield
    except pg.DeadlockDetected as error:
        raise Deadlocked("deadlock", str(error)) from error
    except psycopg.IntegrityError as error:
        raise mssql_python.IntegrityError("refused", str(error)) from error
    except psycopg.DataError as error:
        raise mssql_python.DataError("refused", str(error)) from error
    except psycopg.ProgrammingError as error:
        raise mssql_python.ProgrammingError("refused", str(error)) from error
    except psycopg.Error as error:
        raise ConnectionFailed("failed", str(error)) from error


@functools.cache
def _translated(sql: str) -> list[str]:
    """The statements for PostgreSQL; the parameters are p0, p1, …, as they come in the text."""
    if "serverproperty" in sql:
        return [_DATABASE]
    if sql in _VERBATIM:
        return [_VERBATIM[sql]]
    numbers = itertools.count()
    sql = re.sub(r"\?", lambda _: f"@p{next(numbers)}", sql)
    if sql.startswith(_LOCK):
        sql = sql[sql.rindex("\nselect") :].replace("@granted", "0")
    texts = []
    for tree in sqlglot.parse(sql, dialect="tsql"):
        if not isinstance(tree, _KINDS):
            continue
        for parameter in list(tree.find_all(exp.Parameter)):
            parameter.replace(exp.Placeholder(this=parameter.name))
        for rewrite in (_rewrite_target, _rewrite_tables, _rewrite_nodes):
            tree = rewrite(tree)
        texts.append(tree.sql("postgres", comments=False))
    return texts


_KINDS = (
    exp.Select,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Alter,
    exp.Create,
    exp.Commit,
)


def _rewrite_target(tree: exp.Expression) -> exp.Expression:
    """`update a ... from x join t a on c` → `update t a ... from x where c`; deletes, too."""
    if not isinstance(tree, exp.Update | exp.Delete):
        return tree
    is_update = isinstance(tree, exp.Update)
    if is_update:
        alias = tree.this.name
        source = tree.args.get("from_")
        if source is None:
            return tree
        source = source.this
    else:
        if not tree.args.get("tables"):
            return tree
        alias = tree.args["tables"][0].name
        source = tree.this
    joins = source.args.get("joins") or []
    [of_target] = [join for join in joins if join.this.alias == alias]
    joins.remove(of_target)
    condition = of_target.args["on"]
    target = of_target.this
    if is_update:
        tree.set("this", target)
        tree.set("where", exp.Where(this=condition))
        return tree
    return exp.Delete(this=target, using=[source], where=exp.Where(this=condition))


def _rewrite_tables(tree: exp.Expression) -> exp.Expression:
    """`openjson(?) with (...)`: a table of what is in the arrays; without: the texts of one."""
    for table in list(tree.find_all(exp.Table)):
        call = table.this
        if not isinstance(call, exp.OpenJSON):
            continue
        if call.expressions:
            columns = ", ".join(
                f"cast(e ->> {number} as {_plain(column.args['kind'])}) as {column.name}"
                for number, column in enumerate(call.expressions)
            )
            text = f"select {columns} from json_array_elements(cast(given as json)) e"
        else:
            text = "select v as value from json_array_elements_text(cast(given as json)) v"
        select = sqlglot.parse_one(text, dialect="postgres")
        [given] = [c for c in select.find_all(exp.Column) if c.name == "given"]
        given.replace(call.this.copy())
        rows = exp.Subquery(
            this=select, alias=exp.TableAlias(this=exp.to_identifier(table.alias or "texts"))
        )
        rows.set("joins", table.args.get("joins"))
        table.replace(rows)
    return tree


def _plain(kind: exp.DataType) -> str:
    text = _type(kind).sql("postgres")
    return "text" if text.startswith("VARCHAR") else text


def _rewrite_nodes(tree: exp.Expression) -> exp.Expression:
    return tree.transform(_rewrite_node)


def _rewrite_node(node: exp.Expression) -> exp.Expression:
    rewrite = next((r for kind, r in _REWRITES.items() if isinstance(node, kind)), None)
    return node if rewrite is None else rewrite(node)


def _ordered(node: exp.Expression) -> exp.Expression:
    node.set("nulls_first", False)
    return node


def _collate(node: exp.Expression) -> exp.Expression:
    return exp.Collate(this=node.this, expression=exp.to_identifier("C", quoted=True))


def _column_collation(node: exp.Expression) -> exp.Expression:
    return exp.CollateColumnConstraint(this=exp.to_identifier("C", quoted=True))


def _type(node: exp.Expression) -> exp.Expression:
    name = node.sql("tsql").split("(")[0].upper()
    if name == "NVARCHAR" and "MAX" not in node.sql("tsql").upper():
        return node
    kind = _TYPES.get(name)
    return node if kind is None else exp.DataType.build(kind, dialect="postgres")


def _sum(node: exp.Expression) -> exp.Expression:
    if isinstance(node.expression, exp.Literal) and node.expression.is_string:
        return exp.DPipe(this=node.this, expression=node.expression)
    return node


def _function(node: exp.Expression) -> exp.Expression:
    name = str(node.this).upper()
    if name == "SYSUTCDATETIME":
        return exp.maybe_parse(_NOW, dialect="postgres")
    if name == "DATALENGTH":
        length = exp.Anonymous(this="length", expressions=node.expressions)
        return exp.paren(exp.Mul(this=length, expression=exp.Literal.number(2)))
    return node


def _next_value(node: exp.Expression) -> exp.Expression:
    name = exp.Literal.string(node.this.sql("postgres"))
    return exp.Anonymous(this="nextval", expressions=[name])


def _coalesce(node: exp.Expression) -> exp.Expression:
    """The bodies of a page of history as an array of texts."""
    select = node.find(exp.Select)
    if node.find(exp.GroupConcat) and select is not None:
        select.set("expressions", [sqlglot.parse_one(_BODIES, dialect="postgres")])
    return node


_REWRITES: dict[type[exp.Expression], Callable[[exp.Expression], exp.Expression]] = {
    exp.Ordered: _ordered,
    exp.Collate: _collate,
    exp.CollateColumnConstraint: _column_collation,
    exp.DataType: _type,
    exp.Add: _sum,
    exp.Anonymous: _function,
    exp.NextValueFor: _next_value,
    exp.Coalesce: _coalesce,
    exp.National: lambda node: exp.Literal.string(node.name),
}

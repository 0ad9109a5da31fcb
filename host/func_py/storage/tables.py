"""Table inputs and outputs on Azure Storage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient

from func_py.clock import Clock
from func_py.storage.connections import StorageConnections
from func_py.storage.naming import FilterNaming, Naming
from func_py_bindings.contract import BindingSpec, FunctionSpec, Invocation, Send
from func_py_bindings.table import (
    DEFAULT_TAKE,
    PARTITION,
    ROW,
    entities_json,
    entities_of,
    table_name_problem,
)

_BATCH = 100
"""Entities of one transaction at most."""

_INT32 = range(-(2**31), 2**31)
_NOT_FOUND = 404


class Tables:
    """Reads and writes bindings of type `table`."""

    def __init__(self, connections: StorageConnections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def fetcher(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation], Awaitable[object]]:
        """See `InputFetcher.fetcher`. A table or entity that is not there is an empty list."""
        connection = str(binding.get("connection") or "")
        table, partition_key, row_key = (
            Naming(function, binding, key, self._clock)
            for key in ("tableName", "partitionKey", "rowKey")
        )
        condition = FilterNaming(function, binding, "filter", self._clock)
        take = int(binding.get("take") or DEFAULT_TAKE)

        async def fetch(invocation: Invocation) -> object:
            connected = self._connections.tables(connection)
            client = connected.client.get_table_client(_named(binding, table, invocation))
            keys = partition_key.name(invocation), row_key.name(invocation)
            with connected.answers.translated():
                try:
                    found = await _read(client, *keys, condition.name(invocation), take)
                except HttpResponseError as exc:
                    if exc.status_code != _NOT_FOUND:
                        raise
                    found = []
            return entities_json(found)

        return fetch

    def writer(
        self, function: FunctionSpec, binding: BindingSpec
    ) -> Callable[[Invocation, object], Send]:
        """See `OutputWriter.writer`. An entity that is there is replaced."""
        connection = str(binding.get("connection") or "")
        table, partition_key, row_key = (
            Naming(function, binding, key, self._clock)
            for key in ("tableName", "partitionKey", "rowKey")
        )

        def write(invocation: Invocation, value: object) -> Send:
            entities = [
                _typed(entity)
                for entity in entities_of(
                    value, partition_key.name(invocation), row_key.name(invocation)
                )
            ]
            name = _named(binding, table, invocation)
            connected = self._connections.tables(connection)
            client = connected.client.get_table_client(name)

            async def send() -> None:
                with connected.answers.translated():
                    try:
                        await _upsert(client, entities)
                    except HttpResponseError as exc:
                        if exc.status_code != _NOT_FOUND:
                            raise
                        with suppress(ResourceExistsError):  # Somebody else was quicker.
                            await client.create_table()
                        await _upsert(client, entities)

            return send

        return write


def _named(binding: BindingSpec, table: Naming, invocation: Invocation) -> str:
    name = table.name(invocation)
    if problem := table_name_problem(name):
        raise ValueError(f"binding '{binding.name}': {problem}")
    return name


async def _read(
    client: TableClient, partition_key: str, row_key: str, condition: str, take: int
) -> list[Mapping[str, object]]:
    if partition_key and row_key:
        return [await client.get_entity(partition_key, row_key)]
    quoted = partition_key.replace("'", "''")
    parts = [f"PartitionKey eq '{quoted}'"] if partition_key else []
    parts += [f"({condition})"] if condition else []
    found: list[Mapping[str, object]] = []
    query = client.query_entities(" and ".join(parts), results_per_page=min(take, 1000))
    async for entity in query:
        if len(found) == take:
            break
        found.append(entity)
    return found


async def _upsert(client: TableClient, entities: list[dict[str, Any]]) -> None:
    """Write entities, those of one partition together; of two with the same keys the last."""
    latest = {(entity[PARTITION], entity[ROW]): entity for entity in entities}
    for _, group in groupby(sorted(latest), key=lambda keys: keys[0]):
        members = [latest[keys] for keys in group]
        for start in range(0, len(members), _BATCH):
            batch = members[start : start + _BATCH]
            if len(batch) == 1:
                await client.upsert_entity(batch[0], mode=UpdateMode.REPLACE)
            else:
                await client.submit_transaction(
                    [("upsert", entity, {"mode": UpdateMode.REPLACE}) for entity in batch]
                )


def _typed(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Integers that need more than 32 bits say so."""
    return {
        key: EntityProperty(value, EdmType.INT64)
        if type(value) is int and value not in _INT32
        else value
        for key, value in entity.items()
    }

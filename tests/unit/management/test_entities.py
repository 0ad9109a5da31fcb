"""The entity part of the management API, and the SDK's client on top of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import azure.durable_functions as df
import pytest
from support.engine import Host, until
from support.hubs import HubFactory

from func_py.management import BASE_PATH, LocalTransport
from func_py.management.api import DurableApi
from func_py.management.calls import NO_BODY, ApiRequest, ApiResponse
from func_py_bindings.durable_client import InProcessDurableClient, client_payload

BASE = f"http://localhost:7071{BASE_PATH}"


def box(context: Any) -> None:
    """Keeps its input; forgets itself when told to."""
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state({"op": context.operation_name, "got": context.get_input()})


@pytest.fixture
async def host(hub_factory: HubFactory) -> AsyncIterator[Host]:
    async with Host(hub_factory(), {}, entities={"Box": box, "Chest": box}) as running:
        yield running


@pytest.fixture
def api(host: Host) -> DurableApi:
    return DurableApi(host.client, host.explainer, "TestHub")


@pytest.fixture
def client(api: DurableApi) -> InProcessDurableClient:
    transport = LocalTransport(api, f"{BASE}/", "http://localhost:7071")
    return InProcessDurableClient(client_payload("TestHub", BASE, BASE, ""), transport)


async def call(
    api: DurableApi,
    method: str,
    path: str,
    body: str = "",
    *,
    content_type: str = "application/json",
    continuation: str = "",
    **query: str,
) -> ApiResponse:
    return await api.handle(
        ApiRequest(
            method=method,
            path=path,
            query={name.lower(): [value] for name, value in query.items()},
            body=body.encode(),
            content_type=content_type,
            continuation=continuation,
        )
    )


async def until_answer(api: DurableApi, path: str, status: int) -> Any:
    """Wait until a GET has the status; its body."""

    async def answered() -> ApiResponse | None:
        response = await call(api, "GET", path)
        return response if response.status == status else None

    return (await until(answered, f"{path} to answer {status}")).body


@pytest.mark.parametrize(
    ("body", "content_type", "got"),
    [
        ("", "application/json", None),
        ("5", "application/json", 5),
        ('{"a": [1]}', "application/json; charset=utf-8", {"a": [1]}),
        ('"hello"', "application/json", "hello"),
        ('"[1, 2]"', "application/json", [1, 2]),  # as the SDK's client sends it
        ("hello", "text/plain", "hello"),
        ("5", "text/plain", "5"),
        ('{"a": 1}', "", '{"a": 1}'),
    ],
)
async def test_a_signal_brings_its_body_to_the_entity(
    api: DurableApi, body: str, content_type: str, got: Any
) -> None:
    response = await call(api, "POST", "/entities/Box/k", body, content_type=content_type, op="put")
    assert (response.status, response.body) == (202, NO_BODY)
    assert await until_answer(api, "/entities/box/k", 200) == {"op": "put", "got": got}


async def test_a_signal_without_op_has_an_empty_operation(api: DurableApi) -> None:
    await call(api, "POST", "/entities/Box/k")
    assert await until_answer(api, "/entities/box/k", 200) == {"op": "", "got": None}


async def test_a_dollar_stands_for_the_empty_key(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/entities/Box/$", op="put")
    await until_answer(api, "/entities/BOX/$", 200)
    assert await host.client.read_entity("box", "") is not None


async def test_a_body_that_is_no_json_is_refused(api: DurableApi) -> None:
    response = await call(api, "POST", "/entities/Box/k", "{not json", op="put")
    assert response.status == 400
    assert response.body == {"Message": "Could not parse JSON content: {not json"}


async def test_an_unknown_entity_is_refused_by_name(api: DurableApi) -> None:
    response = await call(api, "POST", "/entities/Bix/k", op="put")
    assert response.status == 400
    message = response.body["Message"]
    assert message.startswith(
        "The function 'Bix' doesn't exist, is disabled, or is not an entity function."
    )
    assert "Did you mean 'Box'?" in message


async def test_an_entity_that_does_not_exist_is_not_found(api: DurableApi) -> None:
    assert (await call(api, "GET", "/entities/box/k")).status == 404


async def test_deleting_is_the_signal_delete(api: DurableApi) -> None:
    await call(api, "POST", "/entities/Box/k", op="put")
    await until_answer(api, "/entities/box/k", 200)
    assert (await call(api, "DELETE", "/entities/Box/k")).status == 202
    await until_answer(api, "/entities/box/k", 404)


async def filled(api: DurableApi) -> None:
    """Three entities, in this order, and one that was deleted."""
    for path in ("/entities/box/a", "/entities/chest/a", "/entities/box/b", "/entities/box/c"):
        await call(api, "POST", path, op="put")
        await until_answer(api, path, 200)
    await call(api, "DELETE", "/entities/box/b")
    await until_answer(api, "/entities/box/b", 404)


def ids(response: ApiResponse) -> list[str]:
    return ["{name}/{key}".format(**entry["entityId"]) for entry in response.body]


async def test_a_list_holds_the_entities_that_exist(api: DurableApi) -> None:
    await filled(api)
    response = await call(api, "GET", "/entities")
    assert ids(response) == ["box/a", "chest/a", "box/c"]
    assert [entry["state"] for entry in response.body] == [None] * 3
    assert response.body[0]["lastOperationTime"].endswith("0Z")
    assert ids(await call(api, "GET", "/entities/BOX")) == ["box/a", "box/c"]


async def test_a_list_has_states_when_they_are_asked_for(api: DurableApi) -> None:
    await filled(api)
    response = await call(api, "GET", "/entities/chest", fetchState="true")
    assert response.body[0]["state"] == {"op": "put", "got": None}


async def test_a_list_is_bounded_by_the_time_of_the_last_operation(api: DurableApi) -> None:
    await filled(api)
    (_, middle, _) = (await call(api, "GET", "/entities")).body
    time = middle["lastOperationTime"].replace("0Z", "Z")
    after = await call(api, "GET", "/entities", lastOperationTimeFrom=time)
    before = await call(api, "GET", "/entities", lastOperationTimeTo=time)
    assert (ids(after), ids(before)) == (["chest/a", "box/c"], ["box/a", "chest/a"])


async def test_a_list_comes_in_pages_when_top_is_given(api: DurableApi) -> None:
    await filled(api)
    found = []
    continuation = ""
    while True:
        page = await call(api, "GET", "/entities", top="1", continuation=continuation)
        found += ids(page)
        continuation = page.headers["x-ms-continuation-token"]
        if not continuation:
            break
        assert len(page.body) == 1
    assert found == ["box/a", "chest/a", "box/c"]


async def test_instances_do_not_show_entities_unless_asked_for_them(api: DurableApi) -> None:
    await filled(api)
    assert (await call(api, "GET", "/instances")).body == []
    found = (await call(api, "GET", "/instances", instanceIdPrefix="@box@")).body
    assert [each["instanceId"] for each in found] == ["@box@a", "@box@c"]
    assert (await call(api, "GET", "/instances/@box@b")).status == 404


@pytest.mark.parametrize("operation", ["terminate", "suspend", "resume", "raiseEvent/Go"])
async def test_an_entity_has_no_life_cycle(api: DurableApi, operation: str) -> None:
    await filled(api)
    response = await call(api, "POST", f"/instances/@box@a/{operation}", "1")
    assert response.status == 400
    assert "Signal an operation" in response.body["Message"]


async def test_purging_an_entity_by_its_id_deletes_it(api: DurableApi) -> None:
    await filled(api)
    response = await call(api, "DELETE", "/instances/@box@a")
    assert (response.status, response.body) == (200, {"instancesDeleted": 1})
    await until_answer(api, "/entities/box/a", 404)


async def test_cleaning_tells_how_many_records_it_removed(api: DurableApi, host: Host) -> None:
    await filled(api)
    response = await call(api, "POST", "/entities:clean")
    assert (response.status, response.body) == (200, {"emptyEntitiesRemoved": 1})
    assert await host.client.get("@box@b") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/entities/box/k"), ("POST", "/entities/box"), ("GET", "/entities:clean")],
)
async def test_other_calls_are_not_found(api: DurableApi, method: str, path: str) -> None:
    assert (await call(api, method, path)).status == 404


# ---- the SDK's client --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, "5", {"a": [1, None]}, None, 0, ""])
async def test_the_sdks_client_signals_and_reads(
    api: DurableApi, client: InProcessDurableClient, value: Any
) -> None:
    entity = df.EntityId("Box", "k")
    await client.signal_entity(entity, "put", value)
    await until_answer(api, "/entities/box/k", 200)
    response = await client.read_entity_state(entity)
    assert response.entity_exists
    # The SDK sends no body for what is false.
    assert response.entity_state == {"op": "put", "got": value or None}


async def test_the_sdks_client_reads_what_does_not_exist(client: InProcessDurableClient) -> None:
    response = await client.read_entity_state(df.EntityId("Box", "k"))
    assert (response.entity_exists, response.entity_state) == (False, None)


async def test_the_sdks_client_raises_for_an_unknown_entity(
    client: InProcessDurableClient,
) -> None:
    with pytest.raises(Exception, match="unexpected status code 400"):
        await client.signal_entity(df.EntityId("Bix", "k"), "put", 1)

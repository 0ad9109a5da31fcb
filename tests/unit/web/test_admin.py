# mypy: disable-error-code="untyped-decorator"
"""The admin API: the host, its functions, calls of them, and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from support.apps import RecordedLog
from support.web_client import WebClient, serving

from func_py.invocation import Invoker
from func_py.keys import MASTER, SYSTEM, KeyStore
from func_py.web import Mount
from func_py.web.admin import AdminApi, HostFacts
from func_py.web.admin_calls import AdminCalls, activity_calls, http_calls
from func_py.web.drain import Drain
from func_py.web.keys import KeyGuard
from func_py.web.keys_api import KeysApi
from func_py_bindings.contract import FunctionSpec

Seen = asyncio.Queue[Any]


def app_that_tells(seen: Seen) -> func.FunctionApp:
    """Functions that put what they are called with into a queue."""
    app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

    @app.route(route="greet/{name?}", methods=["GET"])
    async def Greet(req: func.HttpRequest) -> str:
        seen.put_nowait((req.method, req.get_body().decode()))
        return "hello"

    @app.activity_trigger(input_name="value")
    async def act(value: Any) -> None:
        seen.put_nowait(value)

    @app.orchestration_trigger(context_name="context")
    def orchestrate(context: df.DurableOrchestrationContext) -> Any:
        yield context.call_activity("act")

    result: func.FunctionApp = app
    return result


@pytest.fixture
def seen() -> Seen:
    return asyncio.Queue()


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path)


class Source:
    """A source of work that stops when it is let."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.restarted = asyncio.Event()

    async def stop(self) -> None:
        self.stopping.set()
        await self.may_stop.wait()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def admin(seen: Seen, store: KeyStore, source: Source) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(*, enforced: bool = False) -> AsyncIterator[WebClient]:
        guard = KeyGuard(store)

        def mounts(specs: list[FunctionSpec], invoker: Invoker, log: RecordedLog) -> list[Mount]:
            makers = {
                "httptrigger": http_calls(invoker),
                "activitytrigger": activity_calls(invoker),
            }
            facts = HostFacts(
                host_id="machine-1",
                version="1.2.3",
                instance_id="i",
                computer_name="machine",
                route_prefix="api",
                disabled=frozenset({"act"}),
            )
            is_admin = guard.is_master if enforced else lambda request: True
            calls = AdminCalls(specs, makers, log)
            drain = Drain(lambda: invoker.running)
            drain.add(source.stop)
            api = AdminApi(
                specs, facts, calls, KeysApi(store), is_admin, drain, source.restarted.set
            )
            return [Mount("/admin", api)]

        async with serving(app_that_tells(seen), mounts) as client:
            yield client

    return start


async def test_the_host_says_that_it_runs(admin: Callable[..., Any]) -> None:
    async with admin() as client:
        status = (await client.send("GET", "/admin/host/status")).body

    assert status.pop("processUptime") >= 0
    assert status == {
        "id": "machine-1",
        "state": "Running",
        "version": "1.2.3",
        "versionDetails": "func-py 1.2.3",
        "instanceId": "i",
        "computerName": "machine",
        "functionAppContentEditingState": "Unknown",
    }


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_probes_need_no_key(admin: Callable[..., Any], method: str) -> None:
    async with admin(enforced=True) as client:
        for path in ("/admin/host/ping", "/Admin/Host/Ping?checkHealth=1"):
            answer = await client.send(method, path)

            assert (answer.status, answer.text) == (200, "")
            assert answer.headers["Cache-Control"] == "no-store"


async def test_everything_else_needs_the_master_key(
    admin: Callable[..., Any], store: KeyStore
) -> None:
    async with admin(enforced=True) as client:
        for path in ("/admin/host/status", "/admin/functions", "/admin/host/keys", "/admin/x"):
            assert (await client.send("GET", path)).status == 401
        header = {"x-functions-key": store.master()}
        assert (await client.send("GET", "/admin/functions", headers=header)).status == 200
        assert (await client.send("GET", "/admin/x", headers=header)).status == 404


async def drain_state(client: WebClient) -> str:
    body: dict[str, Any] = (await client.send("GET", "/admin/host/drain/status")).body
    assert body == {
        "state": body["state"],
        "outstandingInvocations": 0,
        "outstandingRetries": 0,
    }
    return str(body["state"])


async def test_a_drain_stops_the_sources_of_work_and_tells_how_far_it_is(
    admin: Callable[..., Any], source: Source
) -> None:
    async with admin() as client:
        assert await drain_state(client) == "Disabled"
        for _ in range(2):
            assert (await client.send("POST", "/admin/host/drain")).status == 202
        await source.stopping.wait()
        assert await drain_state(client) == "InProgress"
        source.may_stop.set()
        while await drain_state(client) != "Completed":
            pass


async def test_a_drained_host_resumes_in_a_new_process(
    admin: Callable[..., Any], source: Source
) -> None:
    async with admin() as client:
        assert (await client.send("POST", "/admin/host/resume")).body == {"state": "Running"}
        assert not source.restarted.is_set()

        source.may_stop.set()
        await client.send("POST", "/admin/host/drain")
        assert (await client.send("POST", "/admin/host/resume")).body == {"state": "Running"}
        assert source.restarted.is_set()


async def test_functions_are_described(admin: Callable[..., Any]) -> None:
    async with admin() as client:
        functions = (await client.send("GET", "/admin/functions")).body
        greet = (await client.send("GET", "/admin/functions/greet")).body
        missing = await client.send("GET", "/admin/functions/nobody")

    assert [function["name"] for function in functions] == ["act", "Greet", "orchestrate"]
    assert [function["isDisabled"] for function in functions] == [True, False, False]
    assert functions[1] == greet
    assert greet["href"] == f"{client.base}/admin/functions/Greet"
    assert greet["invoke_url_template"] == f"{client.base}/api/greet/{{name?}}"
    assert greet["language"] == "python"
    assert greet["config"]["bindings"][0] == {
        "direction": "in",
        "type": "httpTrigger",
        "name": "req",
        "methods": ["GET"],
        "authLevel": "FUNCTION",
        "route": "greet/{name?}",
    }
    assert functions[0]["invoke_url_template"] is None
    assert missing.status == 404


async def test_a_function_that_is_not_in_error_has_an_empty_status(
    admin: Callable[..., Any],
) -> None:
    async with admin() as client:
        assert (await client.send("GET", "/admin/functions/Greet/status")).body == {}
        assert (await client.send("GET", "/admin/functions/nobody/status")).status == 404


@pytest.mark.parametrize(
    ("function", "body", "argument"),
    [
        ("greet", {"input": "text"}, ("POST", "text")),
        ("Greet", {"input": None}, ("POST", "")),
        ("Greet", {}, ("POST", "")),
        ("act", {"input": '{"a": 1}'}, {"a": 1}),
        ("act", {"input": "no JSON"}, "no JSON"),
    ],
)
async def test_any_function_can_be_called_by_name(
    admin: Callable[..., Any], seen: Seen, function: str, body: object, argument: object
) -> None:
    async with admin() as client:
        answer = await client.send("POST", f"/admin/functions/{function}", json=body)

        assert (answer.status, answer.text) == (202, "")
        assert await seen.get() == argument


async def test_an_orchestrator_is_accepted_and_fails_with_a_reason(
    admin: Callable[..., Any], seen: Seen
) -> None:
    async with admin() as client:
        answer = await client.send("POST", "/admin/functions/orchestrate", json={"input": ""})
        await client.send("POST", "/admin/functions/act", json={})
        await seen.get()  # and that began after it

        assert answer.status == 202
        assert "'orchestrationTrigger' gets its value from the host only" in client.log.errors[0]


@pytest.mark.parametrize("body", ["", "{", "[]", '{"input": {"a": 1}}', '{"input": 1}'])
async def test_a_call_without_a_text_as_input_is_a_bad_request(
    admin: Callable[..., Any], body: str
) -> None:
    async with admin() as client:
        assert (await client.send("POST", "/admin/functions/act", data=body)).status == 400


async def test_a_call_of_nobody_is_not_found(admin: Callable[..., Any]) -> None:
    async with admin() as client:
        assert (await client.send("POST", "/admin/functions/nobody", json={})).status == 404


@pytest.mark.parametrize(
    "path", ["/admin/functions/Greet/keys", "/admin/host/keys", "/admin/host/functionkeys"]
)
async def test_keys_are_listed_made_replaced_and_deleted(
    admin: Callable[..., Any], path: str
) -> None:
    async with admin() as client:
        listed = (await client.send("GET", path)).body
        assert [key["name"] for key in listed["keys"]] == ["default"]
        assert listed["links"] == [{"rel": "self", "href": client.base + path}]

        made = await client.send("POST", f"{path}/mine")
        again = await client.send("POST", f"{path}/mine")
        assert (made.status, again.status) == (201, 200)
        assert made.body["name"] == "mine"
        assert made.body["value"] != again.body["value"]

        given = await client.send("PUT", f"{path}/mine", json={"name": "mine", "value": "v"})
        assert (given.status, given.body["value"]) == (200, "v")
        assert (await client.send("GET", f"{path}/mine")).body["value"] == "v"

        assert (await client.send("DELETE", f"{path}/mine")).status == 204
        assert (await client.send("DELETE", f"{path}/mine")).status == 404
        assert (await client.send("GET", f"{path}/mine")).status == 404


async def test_the_master_key_is_one_of_the_system_keys_but_not_listed(
    admin: Callable[..., Any], store: KeyStore
) -> None:
    path = "/admin/host/systemkeys"
    async with admin() as client:
        assert (await client.send("GET", path)).body["keys"] == []
        assert (await client.send("GET", f"{path}/_master")).body["value"] == store.master()
        assert (await client.send("PUT", f"{path}/_master", json={"value": "m"})).status == 200
        assert store.get(SYSTEM, MASTER) == "m"
        refused = await client.send("DELETE", f"{path}/_master")
        assert (refused.status, refused.body) == (400, {"Message": "Cannot delete System Key."})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/admin/host/keys/a", "{", 400),
        ("PUT", "/admin/host/keys/a", '{"name": "a"}', 400),
        ("PUT", "/admin/host/keys/a", '{"name": "b", "value": "v"}', 400),
        ("POST", "/admin/host/keys", "", 404),
        ("PATCH", "/admin/host/keys/a", "", 404),
        ("GET", "/admin/host/keys/a/b", "", 404),
        ("GET", "/admin/functions/nobody/keys", "", 404),
    ],
)
async def test_what_makes_no_sense_is_refused(
    admin: Callable[..., Any], method: str, path: str, body: str, status: int
) -> None:
    async with admin() as client:
        assert (await client.send(method, path, data=body)).status == status

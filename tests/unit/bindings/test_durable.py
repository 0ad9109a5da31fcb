# mypy: disable-error-code="untyped-decorator"
"""Durable names, and the client that speaks to the host without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from support.apps import functions

from func_py_bindings.contract import FunctionSpec, user_code
from func_py_bindings.durable_client import (
    DurableClientInput,
    InProcessDurableClient,
    client_payload,
    without_middleware,
)
from func_py_bindings.durable_function import by_name, describe, durable_functions
from func_py_bindings.registry import default_registry

BASE = "http://localhost:7071/runtime/webhooks/durabletask"
RPC = "http://127.0.0.1:17071/durabletask"


class RecordedTransport:
    """Answers every request with one answer and remembers the requests."""

    def __init__(self, status: int = 202, answer: object = None) -> None:
        self.status = status
        self.answer = answer
        self.requests: list[tuple[object, ...]] = []

    async def request(
        self,
        method: str,
        url: str,
        body: object | None,
        *,
        trace_parent: str | None,
        trace_state: str | None,
        invocation_id: str | None,
    ) -> tuple[int, object]:
        self.requests.append((method, url, body, invocation_id))
        return self.status, self.answer


def client(transport: RecordedTransport) -> InProcessDurableClient:
    return InProcessDurableClient(client_payload("Hub", BASE, RPC, ""), transport, "inv-1")


async def test_start_goes_to_the_transport_with_the_doubly_encoded_input() -> None:
    transport = RecordedTransport(202, {"id": "i1"})
    assert await client(transport).start_new("Orch", "i1", {"a": 1}) == "i1"
    assert transport.requests == [
        ("POST", f"{RPC}/orchestrators/Orch/i1", '{"a": 1}', "inv-1"),
    ]


async def test_refused_start_raises_the_hosts_text() -> None:
    transport = RecordedTransport(400, {"ExceptionMessage": "no such orchestrator"})
    with pytest.raises(Exception, match="no such orchestrator"):
        await client(transport).start_new("Orch")


async def test_status_of_an_unknown_instance_is_falsy() -> None:
    assert not await client(RecordedTransport(404)).get_status("i1")


async def test_purge_reads_the_count() -> None:
    transport = RecordedTransport(200, {"instancesDeleted": 1})
    assert (await client(transport).purge_instance_history("i1")).instances_deleted == 1
    assert transport.requests[0][:2] == ("DELETE", f"{RPC}/instances/i1")


def test_links_of_a_response_have_the_origin_of_the_request() -> None:
    request = func.HttpRequest("GET", "https://example.org/api/x", body=b"")
    response = client(RecordedTransport()).create_check_status_response(request, "i 1")
    assert response.headers["Location"] == (
        "https://example.org/runtime/webhooks/durabletask/instances/i 1"
        "?taskHub=Hub&connection=Storage"
    )


def test_payload_carries_the_key_where_the_management_api_needs_it() -> None:
    links = InProcessDurableClient(client_payload("Hub", BASE, RPC, "k=="), RecordedTransport())
    payload = links.create_http_management_payload("i1")
    assert payload["terminatePostUri"] == (
        f"{BASE}/instances/i1/terminate?reason={{text}}&taskHub=Hub&connection=Storage&code=k%3D%3D"
    )


def starter(**binding: Any) -> FunctionSpec:
    app = df.DFApp()

    @app.route()
    @app.durable_client_input(client_name="client", **binding)
    async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> str:
        return str(await client.start_new("Orch"))

    return functions(app)["start"]


class OneInvocation:
    """The invocation a client is made for."""

    invocation_id = "inv-7"
    function_name = "start"
    binding_data: Mapping[str, object] = {}


async def test_function_gets_a_client_of_its_invocation_instead_of_the_sdks_middleware() -> None:
    spec = starter()
    transport = RecordedTransport(202, {"id": "i1"})
    source = DurableClientInput("Hub", client_payload("Hub", BASE, RPC, ""), transport)
    argument = source.source(spec, spec.bindings[0])(OneInvocation())
    call = without_middleware(spec.function)
    assert await call(req=None, client=argument) == "i1"
    assert transport.requests[0][3] == "inv-7"


def test_function_without_the_sdks_wrapper_gets_the_payload() -> None:
    payload = client_payload("Hub", BASE, RPC, "")
    source = DurableClientInput("Hub", payload, RecordedTransport())
    spec = starter()
    plain = FunctionSpec(
        name="v1",
        app_root=Path(),
        directory=Path(),
        script_file=Path(),
        function=lambda req, client: None,
        is_async=False,
        trigger=spec.trigger,
        bindings=spec.bindings,
        parameters=("req", "client"),
        python_name="main",
    )
    assert source.source(plain, spec.bindings[0])(OneInvocation()) == payload


def test_client_of_another_task_hub_is_refused() -> None:
    spec = starter(task_hub="Other")
    source = DurableClientInput("Hub", client_payload("Hub", BASE, RPC, ""), RecordedTransport())
    with pytest.raises(ValueError, match=r"'Other'.*'Hub'"):
        source.source(spec, spec.bindings[0])


def durable_app() -> dict[str, FunctionSpec]:
    app = df.DFApp()

    @app.orchestration_trigger(context_name="context", orchestration="Flow")
    def orchestrator(context: df.DurableOrchestrationContext) -> Any:
        yield context.call_activity("Pay")

    @app.function_name("pay_function")
    @app.activity_trigger(input_name="amount", activity="Pay")
    def pay(amount: int) -> int:
        return amount

    @app.entity_trigger(context_name="context")
    def counter(context: df.DurableEntityContext) -> None: ...

    return functions(app)


def test_durable_function_answers_to_durable_function_and_python_name() -> None:
    specs = durable_app()
    activity = describe(specs["pay_function"])
    assert activity is not None
    assert (activity.kind, activity.name, activity.aliases) == (
        "activity",
        "Pay",
        ("pay_function",),
    )
    assert set(by_name(durable_functions(specs.values(), "orchestrator"))) == {
        "flow",
        "orchestrator",
    }


def test_entity_without_a_name_property_has_the_functions_name() -> None:
    assert [e.name for e in durable_functions(durable_app().values(), "entity")] == ["counter"]


def test_code_of_the_user_is_found_below_the_sdks_wrappers() -> None:
    assert user_code(durable_app()["orchestrator"].function).__name__ == "orchestrator"


def test_unknown_binding_type_names_the_nearest_and_all_supported_ones() -> None:
    text = default_registry().unknown("htpTrigger")
    assert "Did you mean 'httpTrigger'?" in text
    assert "Supported types: activityTrigger, blob, blobTrigger, durableClient," in text

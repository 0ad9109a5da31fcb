"""The management API: status codes, bodies and headers of the official one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from support.engine import Host
from support.hubs import HubFactory

from func_py.durable.model import RuntimeStatus
from func_py.management.api import DurableApi
from func_py.management.calls import NO_BODY, ApiRequest, ApiResponse

Orchestration = Generator[Any, Any, Any]


def echo(context: Any) -> Orchestration:
    return (yield context.call_activity("same", context.get_input()))


def waits(context: Any) -> Orchestration:
    context.set_custom_status("waiting")
    return (yield context.wait_for_external_event("Go"))


def fails(context: Any) -> Orchestration:
    yield context.call_activity("same", 1)
    raise ValueError("bad thing")


@pytest.fixture
async def host(hub_factory: HubFactory) -> AsyncIterator[Host]:
    functions = {"echo": echo, "waits": waits, "fails": fails}
    async with Host(hub_factory(), functions, {"same": lambda value: value}) as running:
        yield running


@pytest.fixture
def api(host: Host) -> DurableApi:
    return DurableApi(host.client, host.explainer, "TestHub", code="a secret+")


async def call(
    api: DurableApi,
    method: str,
    path: str,
    body: str | None = None,
    *,
    content_type: str = "application/json",
    **query: str,
) -> ApiResponse:
    return await api.handle(
        ApiRequest(
            method=method,
            path=path,
            query={name.lower(): [value] for name, value in query.items()},
            body=b"" if body is None else body.encode(),
            content_type=content_type,
            origin="http://localhost:7071",
            url=f"http://localhost:7071/base{path}",
        )
    )


async def test_start_answers_202_with_the_management_urls(api: DurableApi) -> None:
    response = await call(api, "POST", "/orchestrators/echo", "[1, 2]")

    assert response.status == 202
    body = response.body
    base = f"http://localhost:7071/runtime/webhooks/durabletask/instances/{body['id']}"
    assert list(body) == [
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ]
    query = "taskHub=TestHub&connection=Storage&code=a%20secret%2B"
    assert body["statusQueryGetUri"] == f"{base}?{query}"
    assert body["sendEventPostUri"] == f"{base}/raiseEvent/{{eventName}}?{query}"
    assert body["terminatePostUri"] == f"{base}/terminate?reason={{text}}&{query}"
    assert response.headers["Location"] == body["statusQueryGetUri"]
    assert response.headers["Retry-After"] == "10"


@pytest.mark.parametrize("text", ["[1, 2]", "5", '"hello"', '{"a": 1}', "null"])
async def test_a_raw_json_body_is_the_input(api: DurableApi, host: Host, text: str) -> None:
    response = await call(api, "POST", "/orchestrators/echo/raw", text)
    state = await host.wait_for("raw")

    assert response.status == 202
    assert json.loads(state.output or "null") == json.loads(text)


async def test_a_body_from_the_sdk_is_decoded_once_more(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/orchestrators/echo/sdk", json.dumps(json.dumps({"a": [1]})))
    state = await host.wait_for("sdk")
    status = await call(api, "GET", "/instances/sdk")

    assert json.loads(state.output or "") == {"a": [1]}
    assert status.body["input"] == '{"a": [1]}'
    assert status.body["output"] == {"a": [1]}


async def test_start_of_an_unknown_orchestrator_is_400_and_names_the_known(
    api: DurableApi,
) -> None:
    response = await call(api, "POST", "/orchestrators/ecko")

    assert response.status == 400
    assert response.body["ExceptionMessage"] == (
        "The function 'ecko' doesn't exist, is disabled, or is not an orchestrator function. "
        "Did you mean 'echo'? Additional info: The following are the known orchestrator "
        "functions: 'echo', 'fails', 'waits'."
    )


@pytest.mark.parametrize("bad", ["@entity", "a#b", "x" * 257])
async def test_start_with_an_unusable_id_is_400(api: DurableApi, bad: str) -> None:
    response = await call(api, "POST", f"/orchestrators/echo/{bad}")

    assert response.status == 400
    assert "nstance" in response.body["ExceptionMessage"]


async def test_start_with_broken_json_is_400(api: DurableApi) -> None:
    response = await call(api, "POST", "/orchestrators/echo", "{nope")

    assert (response.status, response.body["Message"]) == (400, "Invalid JSON content")


async def test_json_nested_beyond_reason_is_400(api: DurableApi) -> None:
    response = await call(api, "POST", "/orchestrators/echo", "[" * 200_000 + "]" * 200_000)

    assert (response.status, response.body["Message"]) == (400, "Invalid JSON content")


async def test_start_of_a_running_id_is_500_with_the_official_text(
    api: DurableApi, host: Host
) -> None:
    await call(api, "POST", "/orchestrators/waits/one")
    await host.wait_for("one", RuntimeStatus.RUNNING)

    response = await call(api, "POST", "/orchestrators/waits/one")

    assert response.status == 500
    assert response.body["ExceptionMessage"] == (
        "An Orchestration instance with the status Running already exists."
    )


async def test_start_can_wait_for_the_output(api: DurableApi) -> None:
    response = await call(
        api, "POST", "/orchestrators/echo", "7", timeout="10", pollingInterval="0.01"
    )

    assert (response.status, response.body) == (200, 7)


async def test_start_that_waits_in_vain_answers_202(api: DurableApi) -> None:
    response = await call(
        api, "POST", "/orchestrators/waits", timeout="0.02", pollingInterval="0.01"
    )

    assert response.status == 202
    assert "statusQueryGetUri" in response.body


async def test_status_of_a_running_instance_is_202_with_location(
    api: DurableApi, host: Host
) -> None:
    await call(api, "POST", "/orchestrators/waits/w")
    await host.wait_for("w", RuntimeStatus.RUNNING)

    response = await call(api, "GET", "/instances/w")

    assert response.status == 202
    assert response.headers["Location"] == "http://localhost:7071/base/instances/w"
    assert response.headers["Retry-After"] == "5"
    assert response.body["runtimeStatus"] == "Running"
    assert response.body["customStatus"] == "waiting"
    assert response.body["output"] is None
    assert "historyEvents" not in response.body


async def test_status_of_a_failed_instance_is_200_or_500_on_request(
    api: DurableApi, host: Host
) -> None:
    await call(api, "POST", "/orchestrators/fails/f")
    await host.wait_for("f")

    plain = await call(api, "GET", "/instances/f")
    asked = await call(api, "GET", "/instances/f", returnInternalServerErrorOnFailure="true")

    assert plain.status == 200
    assert asked.status == 500
    assert plain.body["output"] == "Orchestrator function 'fails' failed: bad thing"


async def test_status_of_nothing_is_404_without_body(api: DurableApi) -> None:
    response = await call(api, "GET", "/instances/nobody")

    assert (response.status, response.body) == (404, NO_BODY)


async def test_history_merges_calls_into_their_results(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/orchestrators/echo/h", "7")
    await host.wait_for("h")

    response = await call(api, "GET", "/instances/h", showHistory="true", showHistoryOutput="true")

    kinds = [entry["EventType"] for entry in response.body["historyEvents"]]
    assert kinds == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
    done = response.body["historyEvents"][1]
    assert (done["FunctionName"], done["Result"], done["Input"]) == ("same", 7, "7")
    assert "ScheduledTime" in done
    assert "TaskScheduledId" not in done
    assert response.body["historyEvents"][2]["OrchestrationStatus"] == "Completed"


async def test_raise_event_checks_in_the_official_order(api: DurableApi, host: Host) -> None:
    missing = await call(api, "POST", "/instances/x/raiseEvent/Go", "1")
    await call(api, "POST", "/orchestrators/waits/x")
    media = await call(api, "POST", "/instances/x/raiseEvent/Go", "1", content_type="text/plain")
    broken = await call(api, "POST", "/instances/x/raiseEvent/Go", "")
    sent = await call(api, "POST", "/instances/x/raiseevent/go", "1")
    await host.wait_for("x")
    gone = await call(api, "POST", "/instances/x/raiseEvent/Go", "1")

    assert [r.status for r in (missing, media, broken, sent, gone)] == [404, 400, 400, 202, 410]
    assert media.body["Message"] == "Only application/json request content is supported"
    assert broken.body["Message"] == "Invalid JSON content"
    assert sent.body is NO_BODY


async def test_terminate_is_202_then_410_and_404_for_nothing(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/orchestrators/waits/t")
    first = await call(api, "POST", "/instances/t/terminate", reason="enough")
    state = await host.wait_for("t")
    second = await call(api, "POST", "/instances/t/terminate")
    nothing = await call(api, "POST", "/instances/nobody/terminate")

    assert [r.status for r in (first, second, nothing)] == [202, 410, 404]
    assert (state.status, state.output) == (RuntimeStatus.TERMINATED, "enough")


async def test_purge_deletes_only_what_has_finished(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/orchestrators/waits/p")
    running = await call(api, "DELETE", "/instances/p")
    await call(api, "POST", "/instances/p/terminate")
    await host.wait_for("p")
    done = await call(api, "DELETE", "/instances/p")
    again = await call(api, "DELETE", "/instances/p")

    assert running.body == {"instancesDeleted": 0}
    assert done.body == {"instancesDeleted": 1}
    assert again.status == 404


async def test_list_filters_by_status_and_prefix_and_pages(api: DurableApi, host: Host) -> None:
    for n in range(3):
        await call(api, "POST", f"/orchestrators/echo/done{n}", "1")
        await host.wait_for(f"done{n}")
    await call(api, "POST", "/orchestrators/waits/open")

    completed = await call(api, "GET", "/instances", runtimeStatus="Completed,Nonsense")
    prefixed = await call(api, "GET", "/instances/", instanceIdPrefix="op")
    page = await call(api, "GET", "/instances", top="2")

    assert [i["instanceId"] for i in completed.body] == ["done0", "done1", "done2"]
    assert [i["instanceId"] for i in prefixed.body] == ["open"]
    assert len(page.body) == 2
    assert page.headers["x-ms-continuation-token"]


async def test_another_task_hub_is_refused_by_name(api: DurableApi) -> None:
    response = await call(api, "GET", "/instances/x", taskHub="Other")

    assert response.status == 400
    assert "'TestHub', not 'Other'" in response.body["Message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/orchestrators/echo"),
        ("PUT", "/instances/x"),
        ("POST", "/instances/x/explode"),
        ("GET", "/instances/x/terminate"),
        ("GET", "/nonsense"),
    ],
)
async def test_unknown_paths_and_verbs_are_404_never_405(
    api: DurableApi, method: str, path: str
) -> None:
    response = await call(api, method, path)

    assert (response.status, response.body) == (404, NO_BODY)


async def test_rewind_is_202_for_a_failed_instance_only(api: DurableApi, host: Host) -> None:
    nothing = await call(api, "POST", "/instances/f/rewind")
    await call(api, "POST", "/orchestrators/fails/f")
    await host.wait_for("f")
    failed = await call(api, "POST", "/instances/f/rewind", reason="again")
    await call(api, "POST", "/orchestrators/waits/w")
    running = await call(api, "POST", "/instances/w/rewind")
    await call(api, "POST", "/instances/w/terminate")
    await host.wait_for("w")
    ended = await call(api, "POST", "/instances/w/rewind")

    assert [r.status for r in (nothing, failed, running, ended)] == [404, 202, 500, 410]
    assert running.body["ExceptionMessage"] == (
        "The rewind operation is only supported on failed orchestration instances."
    )


async def test_restart_answers_like_a_start(api: DurableApi, host: Host) -> None:
    await call(api, "POST", "/orchestrators/echo/r", "7")
    await host.wait_for("r")
    fresh = await call(api, "POST", "/instances/r/restart")
    same = await call(api, "POST", "/instances/r/restart", restartWithNewInstanceId="false")
    waited = await call(api, "POST", "/instances/r/restart", timeout="10", pollingInterval="0.01")
    nothing = await call(api, "POST", "/instances/nobody/restart")

    assert [r.status for r in (fresh, same, waited, nothing)] == [202, 202, 200, 400]
    assert fresh.body["id"] != "r"
    assert same.body["id"] == "r"
    assert waited.body == 7
    assert nothing.body["Message"] == "InstanceId does not match a valid orchestration instance."


async def test_bulk_purge_needs_a_begin_and_is_404_for_nothing(api: DurableApi, host: Host) -> None:
    missing = await call(api, "DELETE", "/instances")
    early = {"createdTimeFrom": "2000-01-01T00:00:00Z"}
    nothing = await call(api, "DELETE", "/instances", **early)
    await call(api, "POST", "/orchestrators/echo/p", "1")
    await host.wait_for("p")
    other = await call(api, "DELETE", "/instances", runtimeStatus="Failed", **early)
    done = await call(api, "DELETE", "/instances", runtimeStatus="Completed,Failed", **early)

    assert (missing.status, missing.body) == (
        400,
        "Please provide value for 'createdTimeFrom' parameter.",
    )
    assert (nothing.status, other.status) == (404, 404)
    assert done.body == {"instancesDeleted": 1}


async def test_make_primary_is_accepted(api: DurableApi) -> None:
    assert (await call(api, "POST", "/makeprimary")).status == 200

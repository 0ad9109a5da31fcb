"""The sample apps, all in one host, do what their READMEs promise."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import HostProcess, Response, running_host, wait_for

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
STORAGE_PROVIDER = "AzureFunctionsJobHost__extensions__durableTask__storageProvider"


@pytest.fixture(scope="module", params=["sqlite", "AzureStorage"])
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    """A host with the samples, on either storage."""
    folder = tmp_path_factory.mktemp("samples")
    environ = {"FUNC_PY_STATE_DIR": str(folder), f"{STORAGE_PROVIDER}__type": request.param}
    if request.param == "AzureStorage":
        environ["AzureWebJobsStorage"] = request.getfixturevalue("azurite")
    with running_host(REPOSITORY, folder / "log", environ=environ) as host:
        yield host


def wait_until_said(host: HostProcess, start: Response, is_it: Callable[[Any], bool]) -> None:
    """Wait for a custom status of the orchestration."""
    url = start.json()["statusQueryGetUri"]
    wait_for(lambda: is_it(host.get(url).json()["customStatus"]), "a custom status")


def test_the_start_shows_where_the_task_hub_is(
    host: HostProcess, request: pytest.FixtureRequest
) -> None:
    provider = request.node.callspec.params["host"]
    assert f"Task hub: Samples ({provider}, " in host.output


def test_samples_that_need_storage_wait_quietly_without_it(host: HostProcess) -> None:
    if "(AzureStorage, " in host.output:
        assert "Nothing triggers " not in host.output
        return
    wait_for(lambda: "AzureWebJobsStorage" in host.output, "the notice")
    (line,) = (line for line in host.output.splitlines() if "AzureWebJobsStorage" in line)
    assert "Nothing triggers " in line
    assert "`func-py azurite`" in line


def test_hello_http(host: HostProcess) -> None:
    assert host.get("/api/hello/Ada").text == "Hello, Ada!"


def test_chaining(host: HostProcess) -> None:
    start = host.post("/api/chaining")
    final = host.wait_for_end_of(start)

    assert start.status == 202
    assert final["runtimeStatus"] == "Completed"
    assert final["output"] == ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]


def test_fan_out_fan_in(host: HostProcess) -> None:
    answer = host.post("/api/word-count", "to be or not to be\nthat is the question\n")

    assert (answer.status, answer.json()) == (200, {"lines": 2, "words": 10})


def test_accounts(host: HostProcess) -> None:
    assert host.get("/api/accounts/ada").status == 404
    assert host.post("/api/accounts/ada/deposit", {"amount": 100}).status == 202
    wait_for(lambda: host.get("/api/accounts/ada").text == "100", "the deposit")

    def transfer(amount: int) -> Any:
        order = {"from": "ada", "to": "bob", "amount": amount}
        return host.wait_for_end_of(host.post("/api/transfers", order))["output"]

    assert transfer(30) == "done, 70 left"
    assert transfer(1000) == "refused: there are only 70"
    listed = host.get("/runtime/webhooks/durabletask/entities/account?fetchState=true").json()
    assert [(each["entityId"]["key"], each["state"]) for each in listed] == [
        ("ada", 70),
        ("bob", 30),
    ]


def test_async_http_api_tells_how_far_it_is(host: HostProcess) -> None:
    start = host.post("/api/exports?pages=2")
    status_url = start.headers["location"]

    def progress() -> Any:
        status = host.get(status_url).json()
        return status if status["customStatus"] else None

    first = wait_for(progress, "a custom status")
    final = host.wait_for_end_of(start)

    assert first["runtimeStatus"] == "Running"
    assert first["customStatus"] == {"page": 1, "of": 2}
    assert final["customStatus"] == "done"
    assert final["output"] == ["export-001.csv", "export-002.csv"]


@pytest.mark.parametrize(("approved", "output"), [(True, "approved"), (False, "rejected")])
def test_approval_in_time(host: HostProcess, approved: bool, output: str) -> None:
    start = host.post("/api/expenses", {"amount": 120})

    decision = host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": approved})

    assert decision.status == 202
    assert host.wait_for_end_of(start)["output"] == output


def test_approval_that_nobody_gives(host: HostProcess) -> None:
    expense = {"amount": 120, "remind_after_s": 0.1, "patience_s": 0.3}
    final = host.wait_for_end_of(host.post("/api/expenses", expense))

    assert (final["output"], final["customStatus"]) == ("escalated", "reminded")


def test_approval_after_the_reminder(host: HostProcess) -> None:
    start = host.post("/api/expenses", {"amount": 120, "remind_after_s": 0.1})
    wait_until_said(host, start, lambda said: said == "reminded")

    host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": True})

    assert host.wait_for_end_of(start)["output"] == "approved"


def test_monitor_that_sees_the_end(host: HostProcess) -> None:
    start = host.post("/api/jobs/backup/watch")
    wait_until_said(host, start, bool)

    host.post("/api/jobs/backup/finish")

    assert host.wait_for_end_of(start)["output"]["finished"] is True


def test_monitor_that_gives_up(host: HostProcess) -> None:
    start = host.post("/api/jobs/restore/watch?patience_s=0.2")

    assert host.wait_for_end_of(start)["output"] == {"finished": False, "looks": 2}


def test_sub_orchestrations(host: HostProcess) -> None:
    start = host.post("/api/devices", ["door", "lamp"])
    final = host.wait_for_end_of(start)
    part = f"/runtime/webhooks/durabletask/instances/{start.json()['id']}-lamp"

    assert final["output"] == {"door": "door.devices.example", "lamp": "lamp.devices.example"}
    assert host.get(part).json()["name"] == "set_up_device"


def test_eternal(host: HostProcess) -> None:
    start = host.post("/api/sweeper?pause_s=0.1")
    wait_until_said(host, start, lambda said: said and said["round"] > 2)

    again = host.post("/api/sweeper")
    host.request("DELETE", "/api/sweeper")

    assert again.json()["id"] == start.json()["id"]
    assert host.wait_for_end_of(start)["output"].startswith("stopped in round ")


@pytest.mark.parametrize(
    ("failures", "output"),
    [
        ({"hotel": 1}, {"booked": True, "parts": ["flight", "hotel", "car"]}),
        ({"car": 3}, {"booked": False, "undone": ["hotel", "flight"]}),
    ],
)
def test_saga(host: HostProcess, failures: object, output: dict[str, object]) -> None:
    final = host.wait_for_end_of(host.post("/api/trips", failures))["output"]

    reason = final.pop("reason", "No answer when booking the car")
    assert final == output
    assert "No answer when booking the car" in reason


def test_payment_in_two_parts(host: HostProcess) -> None:
    start = host.post("/api/purchases", {"item": "lamp", "price": 20})
    for amount in (15, 10):
        host.post(f"/api/purchases/{start.json()['id']}/payment", {"amount": amount})

    assert host.wait_for_end_of(start)["output"] == {"state": "shipped", "change": 5}


def test_payment_that_comes_too_late(host: HostProcess) -> None:
    start = host.post("/api/purchases", {"item": "lamp", "price": 20, "window_s": 0.5})
    host.post(f"/api/purchases/{start.json()['id']}/payment", {"amount": 15})

    assert host.wait_for_end_of(start)["output"] == {"state": "cancelled", "refund": 15}


def test_counter(host: HostProcess) -> None:
    host.post("/api/counters/visitors")
    host.post("/api/counters/visitors?by=5")

    expected = {"key": "visitors", "value": 6}
    url = "/api/counters/visitors"
    wait_for(lambda: (r := host.get(url)).status == 200 and r.json() == expected, "the value 6")
    host.request("DELETE", url)
    wait_for(lambda: host.get(url).status == 404, "the counter to be gone")


def test_page_views(host: HostProcess) -> None:
    for _ in range(10):
        assert host.post("/api/views/home").status == 202

    wait_for(lambda: host.get("/api/views/home").json() == {"views": 10}, "ten views")


def test_webhook(host: HostProcess) -> None:
    order = {"topic": "whales", "callback": f"{host.url}/api/inbox"}
    start = host.post("/api/reports", order)
    final = host.wait_for_end_of(start)

    assert final["output"] == {"pages": 6, "told": True}
    assert host.get("/api/inbox").json() == [
        {"report": start.json()["id"], "topic": "whales", "pages": 6}
    ]


def test_versions(host: HostProcess) -> None:
    starts = [host.post(f"/api/parcels{query}") for query in ("?version=1.0", "")]
    for start in starts:
        host.post(f"/api/parcels/{start.json()['id']}/arrival")

    assert [host.wait_for_end_of(start)["output"] for start in starts] == [
        {"version": "1.0", "steps": ["picked up", "handed over"]},
        {"version": "2.0", "steps": ["picked up", "weighed", "handed over"]},
    ]


def test_orchestrations_go_on_after_their_process_was_killed(tmp_path: Path) -> None:
    environ = {"FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(REPOSITORY, tmp_path / "log", environ=environ) as host:
        start = host.post("/api/expenses", {"amount": 120})
        child = host.child_pid()

        os.kill(child, signal.SIGKILL)
        host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": True})

        assert host.wait_for_end_of(start)["output"] == "approved"
        assert host.child_pid() != child


def test_orchestrations_go_on_in_the_next_host(tmp_path: Path) -> None:
    environ = {"FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(REPOSITORY, tmp_path / "log", environ=environ) as host:
        start = host.post("/api/expenses", {"amount": 120})
        host.send(signal.SIGINT)
        assert host.wait() == 0

    with running_host(REPOSITORY, tmp_path / "log2", environ=environ) as host:
        host.post(f"/api/expenses/{start.json()['id']}/decision", {"approved": True})

        assert host.wait_for_end_of(start)["output"] == "approved"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/orders/17", {"order": 17}),
        ("/api/orders/ada", {"customer": "ada"}),
        ("/api/files/report.2026.pdf", {"name": "report.2026", "extension": "pdf"}),
        ("/api/files/report", {"name": "report"}),
        ("/api/sales/2026", {"year": "2026", "month": "1"}),
        ("/api/sales/2026/12/a/b", {"year": "2026", "month": "12", "rest": "a/b"}),
        ("/api/shop/health", {"open": True}),
    ],
)
def test_routes(host: HostProcess, path: str, expected: object) -> None:
    assert host.get(path).json() == expected


@pytest.mark.parametrize("path", ["/api/orders/0", "/api/orders/a1", "/api/sales/1999"])
def test_routes_that_fit_no_constraint(host: HostProcess, path: str) -> None:
    assert host.get(path).status == 404


def test_asgi(host: HostProcess) -> None:
    assert host.post("/api/asgi/x/y", "Hello").json() == {
        "path": "/api/asgi/x/y",
        "letters": {"e": 1, "h": 1, "l": 2, "o": 1},
    }


def test_wsgi(host: HostProcess) -> None:
    assert host.post("/api/wsgi/", "one\ntwo\n").text == "two\none\n"
    assert host.get("/api/wsgi/").status == 405


def test_timer(host: HostProcess) -> None:
    assert host.post("/admin/functions/heartbeat", {"input": ""}).status == 202
    wait_for(lambda: host.get("/api/heartbeats").json(), "a heartbeat")


def test_classic(host: HostProcess) -> None:
    start = host.post("/api/restock", ["apple", "pear", "plum"])
    assert host.wait_for_end_of(start)["output"] == ["3 x pear", "5 x plum"]


def test_blueprints(host: HostProcess) -> None:
    answer = host.post("/api/invoices/ada", [{"price": 2.5, "count": 4}, {"price": 3}])
    assert answer.json() == {"customer": "ada", "total": 13.0}

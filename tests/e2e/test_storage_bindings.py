"""Apps with bindings to storage, as `func-py start` runs them on the emulator."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.process import HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

SAMPLES = Path(__file__).parents[2] / "function_apps"
HEADER = """
import json, logging
from typing import List
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""

PUT = """
def main(req, resp):
    resp.set("accepted")
    return req.get_body()
"""
WORK = """
import logging

def main(m):
    logging.info("got %s", m.get_body().decode())
"""


@contextmanager
def running(
    tmp_path: Path, files: dict[str, Any], azurite: str, **settings: str
) -> Iterator[HostProcess]:
    """A host with an app that is written here; `%TEST%` is text that no other test uses."""
    for name, content in {"host.json": {"version": "2.0"}, **files}.items():
        file = tmp_path / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    environ = {"AzureWebJobsStorage": azurite, "TEST": uuid.uuid4().hex[:12], **settings}
    with running_host(tmp_path / "app", tmp_path / "log", environ=environ) as host:
        yield host


@contextmanager
def sample(name: str, tmp_path: Path, azurite: str) -> Iterator[HostProcess]:
    """A host with a sample app."""
    root = shutil.copytree(SAMPLES / name, tmp_path / "app")
    environ = {"AzureWebJobsStorage": azurite}
    with running_host(root, tmp_path / "log", environ=environ) as host:
        yield host


def test_queue_orders_are_shipped_and_refused(tmp_path: Path, azurite: str) -> None:
    with sample("queue_orders", tmp_path, azurite) as host:
        answer = host.post("/api/queue-orders", "lamp, chair, unicorn")
        assert (answer.status, answer.text) == (202, "3 orders wait.\n")
        expected = {"shipped": ["one chair", "one lamp"], "refused": ["unicorn"]}
        wait_for(lambda: host.get("/api/queue-orders").json() == expected, "the orders")
        assert "Executing 'Functions.ship' (Reason='New queue message detected on 'orders'.'" in (
            host.output
        )


def test_output_fires_the_trigger_long_before_its_next_look(tmp_path: Path, azurite: str) -> None:
    code = """
@app.route(route="put")
@app.queue_output(arg_name="out", queue_name="a%TEST%", connection="")
def put(req, out: func.Out[str]) -> str:
    out.set("x")
    return "y"

@app.queue_trigger(arg_name="m", queue_name="a%TEST%", connection="")
def work(m: str) -> None:
    logging.info("worked")
"""
    settings = {"AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:10:00"}
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite, **settings) as host:
        for count in range(1, 4):
            assert host.get("/api/put").text == "y"
            wait_for(lambda: host.output.count("worked") == count, "the trigger")  # noqa: B023


def test_named_response_and_returned_message(tmp_path: Path, azurite: str) -> None:
    message = {"type": "queue", "queueName": "b%TEST%", "connection": "AzureWebJobsStorage"}
    files = {
        "Put/function.json": {
            "bindings": [
                {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
                {"type": "http", "direction": "out", "name": "resp"},
                {**message, "direction": "out", "name": "$return"},
            ]
        },
        "Put/__init__.py": PUT,
        "Work/function.json": {
            "bindings": [{**message, "type": "queueTrigger", "direction": "in", "name": "m"}]
        },
        "Work/__init__.py": WORK,
    }
    with running(tmp_path, files, azurite) as host:
        assert host.post("/api/Put", "green").text == "accepted"
        wait_for(lambda: "got green" in host.output, "the message")


def test_queue_is_named_by_what_the_trigger_says(tmp_path: Path, azurite: str) -> None:
    code = """
@app.route(route="to/{place}")
@app.queue_output(arg_name="m", queue_name="{place}-{body.kind}-{query.n}%TEST%", connection="")
def send(req, m: func.Out[str]) -> str:
    m.set("hello")
    return "sent"

@app.queue_trigger(arg_name="m", queue_name="here-x-1%TEST%", connection="")
@app.queue_output(arg_name="next", queue_name="{dequeuecount}of-%TEST%", connection="")
def work(m: func.QueueMessage, next: func.Out[List[str]]) -> None:
    next.set([f"{m.get_body().decode()} {n}" for n in range(2)])

@app.queue_trigger(arg_name="m", queue_name="1of-%TEST%", connection="")
def end(m: str) -> None:
    logging.info("end of %s.", m)
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        answer = host.post("/api/to/here?n=1", {"body": {"kind": "x"}})
        assert answer.text == "sent"
        wait_for(lambda: host.output.count("end of hello") == 2, "both messages")
        # Nothing to make a name of, so nothing is sent, and the caller knows.
        missing = host.get("/api/to/here?n=1")
        assert missing.status == 500
        assert "No value for named parameter 'body.kind'" in missing.text


def test_admin_calls_a_queue_function_with_a_message(tmp_path: Path, azurite: str) -> None:
    code = """
@app.queue_trigger(arg_name="m", queue_name="c%TEST%", connection="")
def work(m: func.QueueMessage) -> None:
    logging.info("order %s at %d", m.get_json()["id"], m.dequeue_count)
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        answer = host.post("/admin/functions/work", {"input": '{"id": 7}'})
        assert answer.status == 202
        wait_for(lambda: "order 7 at 1" in host.output, "the call")


def test_storage_that_is_away_is_told_once_and_http_goes_on(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    code = """
@app.route(route="put")
@app.queue_output(arg_name="m", queue_name="orders", connection="")
def put(req, m: func.Out[str]) -> str:
    m.set("x")
    return "never"

@app.route(route="hello")
def hello(req) -> str:
    return "hello"

@app.queue_trigger(arg_name="m", queue_name="orders", connection="")
def work(m: str) -> None: ...

@app.queue_trigger(arg_name="m", queue_name="others", connection="")
def others(m: str) -> None: ...
"""
    storage = (
        "AccountName=devstoreaccount1;AccountKey=a2V5;"
        f"QueueEndpoint=http://127.0.0.1:{unused_tcp_port}/devstoreaccount1"
    )
    with running(tmp_path, {"function_app.py": HEADER + code}, storage) as host:
        away = f"The storage 'AzureWebJobsStorage' at http://127.0.0.1:{unused_tcp_port} cannot be"
        wait_for(lambda: away in host.output, "the warning")
        assert host.get("/api/hello").text == "hello"
        answer = host.get("/api/put")
        assert answer.status == 500
        assert "connection refused" in answer.text
        assert "start it with `func-py azurite`" in answer.text
        assert host.output.count("Functions that it triggers wait.") == 1
        assert "Traceback" not in host.output


def test_app_without_storage_never_imports_what_speaks_to_it(tmp_path: Path) -> None:
    code = """
import sys

@app.route(route="loaded")
def loaded(req) -> str:
    return json.dumps([m for m in sys.modules if m.startswith(("azure.storage", "azure.data"))])
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, "") as host:
        assert host.get("/api/loaded").json() == []

"""Apps with bindings to storage, as `func-py start` runs them on the emulator."""

from __future__ import annotations

import json
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from support.azurite import ACCOUNT, OTHER
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


def test_retry_policy_repeats_before_the_message_counts_as_failed(
    tmp_path: Path, azurite: str
) -> None:
    code = """
@app.route(route="put")
@app.queue_output(arg_name="m", queue_name="r%TEST%", connection="")
def put(req, m: func.Out[str]) -> str:
    m.set("x")
    return "put"

@app.queue_trigger(arg_name="m", queue_name="r%TEST%", connection="")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def work(m: func.QueueMessage, context: func.Context) -> None:
    attempt = context.retry_context.retry_count
    if attempt < 2:
        raise ValueError("not yet")
    logging.info("attempt %d of delivery %d", attempt, m.dequeue_count)
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        host.get("/api/put")
        wait_for(lambda: "attempt 2 of delivery 1" in host.output, "the last attempt")


def test_admin_calls_a_blob_function_with_a_path(tmp_path: Path, azurite: str) -> None:
    code = """
@app.route(route="put")
@app.blob_output(arg_name="b", path="adm%TEST%/x", connection="")
def put(req, b: func.Out[str]) -> str:
    b.set("content")
    return "adm%TEST%"

@app.blob_trigger(arg_name="b", path="other%TEST%/{n}", connection="")
@app.queue_output(arg_name="m", queue_name="adm%TEST%", connection="")
def work(b: str, m: func.Out[str]) -> None:
    logging.info("called with %s", b)
"""
    test = uuid.uuid4().hex[:12]
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite, TEST=test) as host:
        host.get("/api/put")
        host.post("/admin/functions/work", {"input": f"adm{test}/x"})
        wait_for(lambda: "called with content" in host.output, "the call")
        host.post("/admin/functions/work", {"input": f"adm{test}/nothing"})
        wait_for(lambda: "which is no blob" in host.output, "the notice")


def test_stop_waits_for_the_message_in_hand(tmp_path: Path, azurite: str) -> None:
    code = """
import threading
go = threading.Event()

@app.route(route="put")
@app.queue_output(arg_name="m", queue_name="s%TEST%", connection="")
def put(req, m: func.Out[str]) -> str:
    m.set("x")
    return "put"

@app.queue_trigger(arg_name="m", queue_name="s%TEST%", connection="")
def work(m: str) -> None:
    logging.info("begun")
    go.wait(0.5)
    logging.info("finished")
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        host.get("/api/put")
        wait_for(lambda: "begun" in host.output, "the call")
        host.send(signal.SIGTERM)
        assert host.wait() == 0
        assert "finished" in host.output
        assert "(Succeeded" in host.output.rpartition("finished")[2]


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


def test_text_files_are_counted(tmp_path: Path, azurite: str) -> None:
    with sample("text_files", tmp_path, azurite) as host:
        assert host.get("/api/texts/hamlet/words").status == 404
        assert host.request("PUT", "/api/texts/hamlet", "to be or not to be").status == 202
        path = "/api/texts/hamlet/words"
        wait_for(lambda: host.get(path).status == 200, "the words")
        assert host.get(path).json() == {"to": 2, "be": 2, "or": 1, "not": 1}
        said = "Counting the words of texts/hamlet.txt, 18 bytes."
        wait_for(lambda: said in host.output, "the log")
        # The same text again is another blob to storage, and to the trigger.
        host.request("PUT", "/api/texts/hamlet", "to be or not to be")
        wait_for(lambda: host.output.count("Counting the words") == 2, "the second time")


def test_guest_book(tmp_path: Path, azurite: str) -> None:
    with sample("guest_book", tmp_path, azurite) as host:
        assert host.get("/api/guests/villa").json() == []
        keys = [host.post("/api/guests/villa", text).text for text in ("One", "Two")]
        host.post("/api/guests/hut", "Three")
        assert host.get("/api/guests/villa").json() == ["One", "Two"]
        assert host.get(f"/api/guests/villa/{keys[1]}").text == "Two"
        assert host.get("/api/guests/villa/nobody").status == 404


def test_blob_is_given_and_taken_in_every_form(tmp_path: Path, azurite: str) -> None:
    code = """
import hashlib, io

@app.route(route="put/{form}")
@app.blob_output(arg_name="b", path="forms%TEST%/{form}", connection="")
def put(req, b: func.Out[bytes]) -> str:
    forms = {"text": "grün", "raw": b"\\xff\\x00", "file": io.BytesIO(b"file"),
             "big": b"Dummy" * 5_000_000}
    b.set(forms[req.route_params["form"]])
    return "put"

@app.route(route="text")
@app.blob_input(arg_name="b", path="forms%TEST%/text", connection="")
def text(req, b: str) -> str:
    return b

@app.route(route="raw")
@app.blob_input(arg_name="b", path="forms%TEST%/raw", connection="")
def raw(req, b: bytes) -> str:
    return repr(b)

@app.route(route="stream/{form}")
@app.blob_input(arg_name="b", path="forms%TEST%/{form}", connection="")
def stream(req, b: func.InputStream) -> str:
    return "none" if b is None else str(len(b.read()))
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        assert host.get("/api/stream/text").text == "none"
        for form in ("text", "raw", "file", "big"):
            assert host.get(f"/api/put/{form}").text == "put"
        assert host.get("/api/text").text == "grün"
        assert host.get("/api/raw").text == repr(b"\xff\x00")
        assert host.get("/api/stream/file").text == "4"
        assert host.get("/api/stream/big").text == "25000000"


def test_failing_blob_is_tried_again_and_put_aside_in_its_account(
    tmp_path: Path, azurite: str
) -> None:
    code = """
@app.route(route="put")
@app.blob_output(arg_name="b", path="bad%TEST%/x", connection="Blobs")
def put(req, b: func.Out[str]) -> str:
    b.set("x")
    return "put"

@app.blob_trigger(arg_name="b", path="bad%TEST%", connection="Blobs")
def fails(b: str) -> None:
    raise ValueError("bad blob")

@app.queue_trigger(arg_name="m", queue_name="webjobs-blobtrigger-poison", connection="Blobs")
def aside(m: func.QueueMessage) -> None:
    logging.info("aside: %s", m.get_json()["ContainerName"])
"""
    settings = {
        "AzureFunctionsJobHost__extensions__blobs__poisonBlobThreshold": "2",
        "Blobs": azurite.replace(ACCOUNT, OTHER),
    }
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite, **settings) as host:
        host.get("/api/put")
        wait_for(lambda: "aside: bad" in host.output, "the message in the poison queue")
        assert host.output.count("ValueError: bad blob") == 2


def test_event_grid_tells_of_blobs_and_shows_its_key(tmp_path: Path, azurite: str) -> None:
    code = """
@app.blob_trigger(
    arg_name="b", path="told%TEST%/{n}.txt", connection="", source=func.BlobSource.EVENT_GRID
)
def told(b: func.InputStream) -> None:
    logging.info("told of %s", b.name)
"""
    test = uuid.uuid4().hex[:12]
    settings = {
        "TEST": test,
        "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
        "FUNCTIONS_SECRETS_PATH": str(tmp_path / "secrets"),
    }
    container = ContainerClient.from_connection_string(azurite, f"told{test}")
    with (
        container,
        running(tmp_path, {"function_app.py": HEADER + code}, azurite, **settings) as host,
    ):
        container.create_container()
        etag = str(container.upload_blob("a b.txt", b"x").get_blob_properties().etag)
        url = f"{container.url}/a%20b.txt"
        event = {"eventType": "Microsoft.Storage.BlobCreated", "data": {"url": url, "eTag": etag}}
        place = "/runtime/webhooks/blobs?functionName=Host.Functions.told"
        headers = {"aeg-event-type": "Notification"}
        assert host.request("POST", place, json.dumps([event]), headers).status == 401
        keys = json.loads((tmp_path / "secrets" / "host.json").read_text())["systemKeys"]
        [key] = [key["value"] for key in keys if key["name"] == "blobs_extension"]
        for _ in range(2):
            answer = host.request("POST", f"{place}&code={key}", json.dumps([event]), headers)
            assert answer.status == 202
        wait_for(lambda: f"told of told{test}/a b.txt" in host.output, "the call")
        assert "New blob detected(EventGrid)" in host.output


def test_blob_is_worked_on_once_by_two_hosts_and_after_a_restart(
    tmp_path: Path, azurite: str
) -> None:
    code = """
@app.route(route="put/{name}")
@app.blob_output(arg_name="b", path="once%TEST%/{name}", connection="")
def put(req, b: func.Out[str]) -> str:
    b.set("x")
    return "put"

@app.blob_trigger(arg_name="b", path="once%TEST%/{name}", connection="")
def work(b: func.InputStream) -> None:
    logging.info("worked on %s", b.name)
"""
    shared = {"TEST": uuid.uuid4().hex[:12], "AzureFunctionsWebHost__hostid": uuid.uuid4().hex}
    files = {"function_app.py": HEADER + code}
    with (
        running(tmp_path / "1", files, azurite, **shared) as one,
        running(tmp_path / "2", files, azurite, **shared) as two,
    ):
        for number in range(5):
            one.get(f"/api/put/{number}")

        def count() -> int:
            return one.output.count("worked on") + two.output.count("worked on")

        wait_for(lambda: count() == 5, "all blobs")
    with running(tmp_path / "3", files, azurite, **shared) as three:
        three.get("/api/put/late")
        wait_for(lambda: "worked on" in three.output, "the new blob")
        assert three.output.count("worked on") == 1
        assert "worked on once" in three.output
        assert count() == 5


def test_sdk_types_of_blobs(tmp_path: Path, azurite: str) -> None:
    code = """
import azurefunctions.extensions.bindings.blob as blob

@app.route(route="put")
@app.blob_output(arg_name="b", path="sdk%TEST%/x", connection="AzureWebJobsStorage")
def put(req, b: func.Out[str]) -> str:
    b.set("content")
    return "put"

@app.blob_trigger(arg_name="b", path="sdk%TEST%/{name}", connection="AzureWebJobsStorage")
def work(b: blob.BlobClient) -> None:
    logging.info("client of %s: %s", b.blob_name, b.download_blob().readall())

@app.route(route="get")
@app.blob_input(arg_name="b", path="sdk%TEST%/x", connection="AzureWebJobsStorage")
@app.blob_input(arg_name="c", path="sdk%TEST%/x", connection="AzureWebJobsStorage")
@app.blob_input(arg_name="d", path="sdk%TEST%/x", connection="AzureWebJobsStorage")
def get(req, b: blob.StorageStreamDownloader, c: blob.ContainerClient, d: str) -> str:
    return f"{b.readall()} {sum(1 for _ in c.list_blobs())} {d}"
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        host.get("/api/put")
        wait_for(lambda: "client of x: b'content'" in host.output, "the trigger")
        assert [host.get("/api/get").text for _ in range(2)] == ["b'content' 1 content"] * 2


def test_table_output_takes_lists_and_types_and_input_filters(tmp_path: Path, azurite: str) -> None:
    code = """
@app.route(route="put")
@app.table_output(arg_name="t", table_name="T%TEST%", connection="")
def put(req, t: func.Out[str]) -> str:
    rows = [{"PartitionKey": "it's", "RowKey": str(n), "N": n, "Big": 2**40, "F": 1.5, "Ok": True,
             "None": None, "Deep": {"a": [1]}} for n in range(3)]
    t.set(json.dumps(rows))
    return "put"

@app.route(route="get")
@app.table_input(arg_name="t", table_name="T%TEST%", partition_key="it's", filter="N ge 1",
                 take=1, connection="")
def get(req, t: str) -> str:
    return t
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, azurite) as host:
        for _ in range(2):  # The second time replaces.
            assert host.get("/api/put").text == "put"
        (row,) = host.get("/api/get").json()
        assert row == {
            "PartitionKey": "it's", "RowKey": "1", "N": 1, "Big": 2**40, "F": 1.5, "Ok": True,
            "Deep": '{"a": [1]}',
        }  # fmt: skip


def test_app_without_storage_never_imports_what_speaks_to_it(tmp_path: Path) -> None:
    code = """
import sys

@app.route(route="loaded")
def loaded(req) -> str:
    return json.dumps([m for m in sys.modules if m.startswith(("azure.storage", "azure.data"))])
"""
    with running(tmp_path, {"function_app.py": HEADER + code}, "") as host:
        assert host.get("/api/loaded").json() == []

"""Files of an app are edited while it is served."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import HostProcess, Response, free_port, running_host, wait_for

pytestmark = pytest.mark.e2e

APP = """
import asyncio
import pathlib

import azure.durable_functions as df
import azure.functions as func

import texts

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
HERE = pathlib.Path(__file__).parent


@app.route(route="text")
async def text(req: func.HttpRequest) -> str:
    return texts.TEXT


@app.route(route="slow")
async def slow(req: func.HttpRequest) -> str:
    (HERE / "entered").touch()
    while not (HERE / "go on").exists():
        await asyncio.sleep(0.01)
    return texts.TEXT


@app.route(route="begin", methods=["POST"])
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new("tour")
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def tour(context: df.DurableOrchestrationContext):
    before = yield context.call_activity("tell", None)
    yield context.wait_for_external_event("go")
    after = yield context.call_activity("tell", None)
    return [before, after]


@app.activity_trigger(input_name="nothing")
def tell(nothing: None) -> str:
    return texts.TEXT
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    (root / "host.json").write_text('{"version": "2.0"}')
    (root / "function_app.py").write_text(APP)
    (root / "texts.py").write_text('TEXT = "one"\n')
    return root


@pytest.fixture
def host(root: Path, tmp_path: Path) -> Iterator[HostProcess]:
    with running_host(root, tmp_path / "log") as host:
        yield host


def save(file: Path, content: str) -> None:
    """As most editors do it: write beside it, then rename."""
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_text(content)
    beside.replace(file)


def change_text(root: Path, text: str) -> None:
    save(root / "texts.py", f"TEXT = {text!r}\n")


def wait_for_text(host: HostProcess, text: str) -> None:
    wait_for(lambda: host.get("/api/text").text == text, f"the answer {text}")


class Visitor(threading.Thread):
    """Asks again and again, on connections that it keeps alive for as long as it may."""

    def __init__(self, host: HostProcess, *, keeps_alive: bool) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.answers: list[str] = []
        self._port = int(host.url.rpartition(":")[2])
        self._keeps_alive = keeps_alive
        self._is_done = threading.Event()
        self.start()

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._is_done.wait(0.005):
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", "/api/text")
                answer = connection.getresponse()
                self.answers.append(answer.read().decode())
            except Exception as exc:  # noqa: BLE001 - told to the test
                self.failures.append(repr(exc))
                connection.close()
                connection = None
                continue
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
            if answer.will_close or not self._keeps_alive:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def end(self) -> None:
        self._is_done.set()
        self.join()


def test_no_request_fails_while_files_are_edited(host: HostProcess, root: Path) -> None:
    visitors = [Visitor(host, keeps_alive=False), Visitor(host, keeps_alive=True)]
    try:
        for number in range(6):
            change_text(root, f"text {number}")
            wait_for_text(host, f"text {number}")
    finally:
        for visitor in visitors:
            visitor.end()

    assert [visitor.failures for visitor in visitors] == [[], []]
    assert all("text 4" in visitor.answers for visitor in visitors)


def test_a_request_that_runs_is_finished_by_the_code_that_began_it(
    host: HostProcess, root: Path
) -> None:
    answers: list[Response] = []
    request = threading.Thread(target=lambda: answers.append(host.get("/api/slow")))
    request.start()
    wait_for((root / "entered").exists, "the request to be running")

    change_text(root, "two")
    wait_for_text(host, "two")
    (root / "go on").touch()
    request.join()

    assert [answer.text for answer in answers] == ["one"]
    host_ended = host.child_pids()
    wait_for(lambda: len(host.child_pids()) == 1, f"one of {host_ended} to end")


def test_a_live_orchestration_goes_on_with_the_new_code(host: HostProcess, root: Path) -> None:
    start = host.post("/api/begin")
    status_url = start.json()["statusQueryGetUri"]
    wait_for(lambda: '"Running"' in host.get(status_url).text, "the instance to wait")

    change_text(root, "two")
    wait_for_text(host, "two")
    host.post(start.json()["sendEventPostUri"].replace("{eventName}", "go"), {})

    assert host.wait_for_end_of(start)["output"] == ["one", "two"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("import texts\n1 / 0", 'function_app.py", line 2, in <module>'),
        ("def f(:", 'function_app.py", line 1\n'),
        (APP.replace("async def text(req:", "async def text(request:"), "function 'text'"),
    ],
    ids=["raises", "syntax", "binding"],
)
def test_code_that_does_not_load_leaves_the_other_serving(
    host: HostProcess, root: Path, broken: str, problem: str
) -> None:
    save(root / "function_app.py", broken)
    wait_for(lambda: "goes on serving" in host.output, "the complaint")

    assert host.get("/api/text").text == "one"
    assert problem in host.output

    save(root / "function_app.py", APP.replace('route="text"', 'route="other"'))
    wait_for(lambda: host.get("/api/other").status == 200, "the corrected code")
    wait_for(lambda: f"\ttext:  {host.url}/api/other\n" in host.output, "the changed function")


def test_an_app_that_never_loaded_is_answered_with_its_problem_until_it_is_corrected(
    root: Path, tmp_path: Path
) -> None:
    (root / "texts.py").write_text("TEXT = \n")
    port = free_port()
    host = HostProcess(root, tmp_path / "log", ["--port", str(port)])
    host.url = f"http://localhost:{port}"
    try:
        wait_for(lambda: "until a file is saved" in host.output, "the complaint")
        answer = host.get("/api/text")
        change_text(root, "corrected")
        wait_for(lambda: host.get("/api/text").status == 200, "the corrected code")

        assert answer.status == 503
        assert 'texts.py", line 1' in answer.text
        assert host.get("/api/text").text == "corrected"
        wait_for(lambda: "Functions:" in host.output, "the list of functions")
    finally:
        host.kill()


def test_an_edit_that_changes_neither_size_nor_second_counts(root: Path, tmp_path: Path) -> None:
    with running_host(root, tmp_path / "log", environ={"PYTHONDONTWRITEBYTECODE": ""}) as host:
        when = (root / "texts.py").stat()
        assert host.get("/api/text").text == "one"

        beside = root / ".texts.py.tmp"
        beside.write_text('TEXT = "two"\n')
        os.utime(beside, ns=(when.st_atime_ns, when.st_mtime_ns))
        beside.replace(root / "texts.py")

        wait_for_text(host, "two")


def test_settings_are_read_again(host: HostProcess, root: Path) -> None:
    save(root / "host.json", '{"version": "2.0", "extensions": {"http": {"routePrefix": "x"}}}')

    wait_for(lambda: host.get("/x/text").status == 200, "the new prefix")


def test_nothing_is_reloaded_with_no_reload(root: Path, tmp_path: Path) -> None:
    with running_host(root, tmp_path / "log", ["--no-reload"]) as host:
        change_text(root, "two")
        os.kill(host.child_pid(), 9)

        assert host.get("/api/text").text == "two"  # that of the next child
        assert "Reloaded" not in host.output


def test_every_worker_gets_the_new_code_and_one_says_what_there_is_to_say(
    root: Path, tmp_path: Path
) -> None:
    (root / "host.json").write_text('{"version": "2.0", "loging": {}}')
    with running_host(root, tmp_path / "log", ["--workers", "2"]) as host:
        before = wait_for(lambda: pids if len(pids := host.child_pids()) == 2 else None, "both")

        change_text(root, "two")

        after = wait_for(
            lambda: pids if not before & (pids := host.child_pids()) and len(pids) == 2 else None,
            "two new processes",
        )
        assert before.isdisjoint(after)
        assert host.output.count("unknown key") == 2
        assert host.get("/api/text").text == "two"


def test_an_instance_that_the_edit_does_not_fit_is_told_of_and_waits_for_one_that_does(
    host: HostProcess, root: Path
) -> None:
    start = host.post("/api/begin")
    status_url = start.json()["statusQueryGetUri"] + "&showHistory=true"
    wait_for(lambda: "TaskCompleted" in host.get(status_url).text, "the instance to wait")

    save(root / "function_app.py", APP.replace('call_activity("tell"', 'call_activity("say"'))
    wait_for(lambda: "is held" in host.output, "the instance to be told of")
    host.post(start.json()["sendEventPostUri"].replace("{eventName}", "go"), {})
    change_text(root, "two")
    wait_for_text(host, "two")
    assert '"Running"' in host.get(status_url).text
    save(root / "function_app.py", APP)

    assert host.wait_for_end_of(start)["output"] == ["one", "two"]
    line = 1 + APP.splitlines().index('    before = yield context.call_activity("tell", None)')
    assert f"function_app.py:{line} the code asks for activity 'say' (#0)" in host.output

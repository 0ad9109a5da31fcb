"""`func-py start`: what it prints, how it serves, and how it refuses."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
from support.process import HostProcess, running_host

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
HOST_JSON = '{"version": "2.0"}'
ONE_FUNCTION = """
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="ping")
async def ping(req: func.HttpRequest) -> str:
    return "pong"
"""


def make_app(root: Path, code: str = ONE_FUNCTION, **files: str) -> Path:
    """A function app with this code; `files` are more modules of it, by name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "host.json").write_text(HOST_JSON)
    (root / "function_app.py").write_text(code)
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    return root


def end_of(root: Path, log: Path, *arguments: str) -> tuple[int, str]:
    """Start a host that reloads nothing and should end by itself; its exit code and output."""
    host = HostProcess(root, log, ["--no-reload", *arguments])
    try:
        return host.wait(), host.output
    finally:
        host.kill()


def test_the_hello_sample_answers_and_is_listed(tmp_path: Path) -> None:
    root = shutil.copytree(REPOSITORY / "function_apps" / "hello_http", tmp_path / "hello")
    (root / "host.json").write_text(HOST_JSON)

    with running_host(root, tmp_path / "log") as host:
        greeting = host.get("/api/hello/Ada")
        shouting = host.post("/api/shout", "anybody there?")
        nobody = host.get("/api/nobody")

        assert (greeting.status, greeting.text) == (200, "Hello, Ada!")
        assert (shouting.status, shouting.text) == (200, "ANYBODY THERE?")
        assert nobody.status == 404
        assert f"\thello: [GET] {host.url}/api/hello/{{name?}}\n" in host.output
        assert f"\tshout: [POST] {host.url}/api/shout\n" in host.output


def test_the_module_is_a_command_too_even_beside_a_click_of_the_app(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app", click="raise Exception('the app')")

    command = (sys.executable, "-m", "func_py")
    with running_host(root, tmp_path / "log", command=command) as host:
        assert host.get("/api/ping").text == "pong"


def test_local_settings_reach_the_app_and_name_the_port(tmp_path: Path) -> None:
    root = make_app(
        tmp_path / "app", ONE_FUNCTION.replace('"pong"', '__import__("os").environ["GREETING"]')
    )
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    settings = {"Values": {"GREETING": "hi"}, "Host": {"LocalHttpPort": port}}
    (root / "local.settings.json").write_text(json.dumps(settings))

    with running_host(root, tmp_path / "log", ["--port", str(port)]) as host:
        assert host.get("/api/ping").text == "hi"
        assert host.url == f"http://localhost:{port}"


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app")
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        exit_code, output = end_of(root, tmp_path / "log", "--port", str(port))

    assert exit_code == 1
    assert output == (
        f"Port {port} is unavailable. Close the process using that port, "
        "or specify another port using --port [-p].\n"
    )


def test_a_missing_host_json_is_one_clear_line(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app")
    (root / "host.json").unlink()

    exit_code, output = end_of(root, tmp_path / "log")

    assert exit_code == 1
    assert output == (
        f"host.json: not found in {root}\n"
        '  A function app needs one; the smallest is {"version": "2.0"}.\n'
    )


def test_a_folder_without_an_app_is_one_clear_line(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app")
    (root / "function_app.py").unlink()

    exit_code, output = end_of(root, tmp_path / "log")

    assert exit_code == 1
    assert output == (
        f"No function app in {root}: it has neither a function_app.py, nor folders with a "
        "function.json, nor a folder function_apps with apps in it.\n"
    )


def test_a_folder_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    exit_code, output = end_of(tmp_path, tmp_path / "log", "nowhere")

    assert exit_code == 1
    assert output == '"nowhere" doesn\'t exist, or is not a folder.\n'


def test_a_wrong_option_is_a_usage_error(tmp_path: Path) -> None:
    exit_code, output = end_of(tmp_path, tmp_path / "log", "--colour")

    assert exit_code == 2
    assert "No such option" in output


def test_a_broken_app_shows_every_problem_at_once(tmp_path: Path) -> None:
    root = make_app(
        tmp_path / "app",
        ONE_FUNCTION
        + """
@app.route(route="a")
def first(wrong: func.HttpRequest) -> str: ...

@app.route(route="b", trigger_arg_name="request")
def second(req: func.HttpRequest) -> str: ...
""",
    )

    exit_code, output = end_of(root, tmp_path / "log")

    assert exit_code == 1
    assert "function 'first'" in output
    assert "function 'second'" in output


def test_an_app_that_cannot_be_imported_shows_its_own_traceback_only(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app", "import helper", helper="1 / 0")

    exit_code, output = end_of(root, tmp_path / "log")

    assert exit_code == 1
    assert f'File "{root / "helper.py"}", line 1' in output
    assert "ZeroDivisionError: division by zero" in output
    assert "func_py" not in output


def test_modules_of_the_app_win_over_everybody_elses(tmp_path: Path) -> None:
    names = ("host", "bindings", "tests", "click", "config", "queue")
    imports = "".join(f"import {name}\n" for name in names)
    whose = ", ".join(f"{name}.WHOSE" for name in names)
    code = imports + ONE_FUNCTION.replace('"pong"', f"str([{whose}])")
    root = make_app(tmp_path / "app", code, **dict.fromkeys(names, "WHOSE = 'the app'"))

    with running_host(root, tmp_path / "log") as host:
        assert host.get("/api/ping").text == str(["the app"] * len(names))


def test_no_module_of_the_app_is_taken_for_one_that_the_host_needs(tmp_path: Path) -> None:
    code = (REPOSITORY / "function_apps" / "chaining" / "function_app.py").read_text()
    names = ("sqlite3", "email", "secrets", "csv", "click", "uuid")
    root = make_app(tmp_path / "app", code, **dict.fromkeys(names, "raise Exception('the app')"))

    with running_host(root, tmp_path / "log") as host:
        final = host.wait_for_end_of(host.post("/api/chaining"))

        assert final["output"] == ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]

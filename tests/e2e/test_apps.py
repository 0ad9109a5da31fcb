"""Apps in every form that the official host takes, as `func-py start` runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.process import HostProcess, running_host, wait_for

pytestmark = pytest.mark.e2e

HEADER = """
import logging
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""
HTTP: list[dict[str, Any]] = [
    {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
    {"type": "http", "direction": "out", "name": "$return"},
]


def write(root: Path, files: dict[str, Any]) -> Path:
    """Write an app with a host.json; what is no text is written as JSON."""
    for name, content in {"host.json": {"version": "2.0"}, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def test_what_the_app_logs_and_prints_is_in_the_log_once_from_its_import_on(
    tmp_path: Path,
) -> None:
    code = """
logging.info("logged while imported")
print("printed while imported")

@app.route(route="say")
async def say(req: func.HttpRequest) -> str:
    print("printed", "by a call")
    logging.info("logged by a call")
    return "said"
"""
    root = write(tmp_path / "app", {"function_app.py": HEADER + code})
    with running_host(root, tmp_path / "log") as host:
        assert host.get("/api/say").text == "said"
        wait_for(lambda: "Executed 'Functions.say'" in host.output, "the log to be written")
        output = host.output
    lines = [line.partition("Z] ")[2] for line in output.splitlines() if "Z] " in line]
    assert lines[:2] == ["logged while imported", "printed while imported"]
    assert lines[3:5] == ["printed by a call", "logged by a call"]
    assert output.count("printed") == output.count("logged") == 2


def test_durable_app_of_the_version_1_model_runs(tmp_path: Path) -> None:
    starter = {"type": "durableClient", "direction": "in", "name": "starter"}
    files = {
        "Start/function.json": {"bindings": [{**HTTP[0], "route": "start"}, HTTP[1], starter]},
        "Start/__init__.py": """
import azure.durable_functions as df
async def main(req, starter: str):
    client = df.DurableOrchestrationClient(starter)
    instance = await client.start_new("Flow", None, "Ada")
    return client.create_check_status_response(req, instance)
""",
        "Flow/function.json": {
            "bindings": [{"type": "orchestrationTrigger", "direction": "in", "name": "context"}]
        },
        "Flow/__init__.py": """
import azure.durable_functions as df
from ..shared.names import ACTIVITY
def flow(context):
    return (yield context.call_activity(ACTIVITY, context.get_input()))
main = df.Orchestrator.create(flow)
""",
        "Greet/function.json": {
            "scriptFile": "code.py",
            "entryPoint": "greet",
            "bindings": [{"type": "activityTrigger", "direction": "in", "name": "name"}],
        },
        "Greet/code.py": "def greet(name: str) -> str: return f'Hello, {name}!'\n",
        "shared/names.py": "ACTIVITY = 'Greet'\n",
        "Broken/function.json": {"bindings": HTTP},
        "Broken/__init__.py": "1 / 0\n",
    }
    root = write(tmp_path / "app", files)
    with running_host(root, tmp_path / "log") as host:
        final = host.wait_for_end_of(host.post("/api/start"))
        broken = host.get("/api/broken")
        assert (final["runtimeStatus"], final["output"]) == ("Completed", "Hello, Ada!")
        assert "The 'Broken' function is in error" in host.output
        assert (broken.status, "ZeroDivisionError" in broken.text) == (500, True)


TIMER = """
@app.timer_trigger(arg_name="t", schedule="%WHEN%")
async def tick(t: func.TimerRequest) -> None:
    logging.info("ticked")
"""


def test_timer_fires_on_one_host_and_on_the_other_when_that_is_gone(tmp_path: Path) -> None:
    root = write(tmp_path / "app", {"function_app.py": HEADER + TIMER})
    environ = {"WHEN": "* * * * * *", "FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(root, tmp_path / "log", environ=environ) as first:
        wait_for(lambda: first.output.count("ticked") > 1, "two firings")
        with running_host(root, tmp_path / "log2", environ=environ) as second:
            seen = first.output.count("ticked")
            wait_for(lambda: first.output.count("ticked") > seen, "the first host to go on")
            assert "ticked" not in second.output
            first.kill()
            wait_for(lambda: "ticked" in second.output, "the second host to take over")


def test_timer_is_called_by_an_admin_too(tmp_path: Path) -> None:
    root = write(tmp_path / "app", {"function_app.py": HEADER + TIMER})
    environ = {"WHEN": "0 0 0 1 1 *", "FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(root, tmp_path / "log", environ=environ) as host:
        assert host.post("/admin/functions/tick", {"input": ""}).status == 202
        wait_for(lambda: "ticked" in host.output, "the function to run")
        assert "Task hub: TestHubName" in host.output


def test_failed_timer_function_is_repeated_as_host_json_says(tmp_path: Path) -> None:
    code = """
@app.timer_trigger(arg_name="t", schedule="0 0 0 1 1 *", run_on_startup=True)
def tick(t: func.TimerRequest, context: func.Context) -> None:
    logging.info("attempt %d", context.retry_context.retry_count)
    if context.retry_context.retry_count == 0:
        raise LookupError("lost")
"""
    retry = {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:00.1"}
    files = {"function_app.py": HEADER + code, "host.json": {"version": "2.0", "retry": retry}}
    environ = {"FUNC_PY_STATE_DIR": str(tmp_path / "state")}
    with running_host(write(tmp_path / "app", files), tmp_path / "log", environ=environ) as host:
        wait_for(lambda: "attempt 1" in host.output, "the second attempt")
        assert "LookupError: lost" in host.output
        assert "Next attempt: '1'. Max retry count: '3'." in host.output


def test_warmup_function_runs_once(tmp_path: Path) -> None:
    code = """
@app.warm_up_trigger("w")
def warm(w: func.warmup.WarmUpContext) -> None:
    logging.info("warm %s", type(w).__name__)
"""
    root = write(tmp_path / "app", {"function_app.py": HEADER + code})
    with running_host(root, tmp_path / "log") as host:
        assert [host.get("/admin/warmup").status for _ in range(2)] == [200, 200]
        wait_for(lambda: "Executed 'Functions.warm'" in host.output, "the log to be written")
        assert host.output.count("warm WarmUpContext") == 1


def test_function_beyond_its_timeout_is_given_up_and_others_go_on(tmp_path: Path) -> None:
    code = """
import time

@app.route(route="slow")
def slow(req: func.HttpRequest) -> str:
    time.sleep(60)
    return "late"

@app.route(route="quick")
def quick(req: func.HttpRequest) -> str:
    return "quick"
"""
    files = {
        "function_app.py": HEADER + code,
        "host.json": {"version": "2.0", "functionTimeout": "00:00:01"},
    }
    environ = {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}
    with running_host(write(tmp_path / "app", files), tmp_path / "log", environ=environ) as host:
        assert host.get("/api/slow").status == 500
        assert host.get("/api/quick").text == "quick"
        text = "Timeout value of 00:00:01 exceeded by function 'Functions.slow'"
        assert text in host.output


def end_of(root: Path, log: Path) -> tuple[int, str]:
    """Start a host that reloads nothing and should end by itself; its exit code and output."""
    host = HostProcess(root, log, ["--no-reload"])
    try:
        return host.wait(), host.output
    finally:
        host.kill()


BROKEN = {
    "an import error": (
        "import helper\n",
        ('File "{root}/function_app.py", line 6', "ModuleNotFoundError: No module named 'helper'"),
        "-m pip install -r {root}/requirements.txt",
    ),
    "an error in a module of its own": (
        "import broken\n",
        ('File "{root}/broken.py", line 2', "ZeroDivisionError: division by zero"),
        "cannot be imported",
    ),
    "a syntax error": (
        "def f(:\n",
        ('File "{root}/function_app.py", line 6', "SyntaxError: invalid syntax"),
        "cannot be imported",
    ),
    "an end of the process": (
        "import sys; sys.exit('no settings')\n",
        ('File "{root}/function_app.py", line 6', "SystemExit: no settings"),
        "The module ends the process while it is imported (sys.exit).",
    ),
    "no app object": (
        "del app\n",
        ("{root}/function_app.py: no function app found.",),
        "for example 'app = func.FunctionApp()'",
    ),
    "two app objects": (
        "other = func.FunctionApp()\n",
        ("{root}/function_app.py: more than one function app", "'app' (FunctionApp)"),
        "put the other functions into a Blueprint",
    ),
    "a blueprint that nobody registered": (
        "parts = func.Blueprint()\n",
        ("{root}/function_app.py: the app has no functions.",),
        "app.register_functions(parts)",
    ),
    "a wrong binding name": (
        "@app.route()\ndef f(request: func.HttpRequest) -> str: ...\n",
        ("{root}/function_app.py:6: function 'f': the parameters 'request' have no binding.",),
        "Bindings of this function: 'req'.",
    ),
    "a binding name that Azure refuses": (
        "@app.route(trigger_arg_name='r-q')\ndef f(**x): ...\n",
        ("{root}/function_app.py:6: function 'f': the binding name 'r-q' is invalid",),
        "a letter, then letters and digits",
    ),
    "two triggers": (
        "@app.route()\n@app.generic_trigger('x', 'warmupTrigger')\ndef f(req, x): ...\n",
        ('File "{root}/function_app.py", line 6', "A trigger was already registered"),
        "a function can only have one trigger",
    ),
    "no trigger": (
        "@app.function_name('f')\ndef f(): ...\n",
        ("{root}/function_app.py:6: function 'f' has no trigger.",),
        "has no trigger",
    ),
    "duplicate names": (
        "@app.route(route='a')\ndef f(req): ...\n@app.route(route='b')\ndef f(req): ...\n",
        ("{root}/function_app.py:8: the function name 'f' is taken already", "function_app.py:6"),
        "@app.function_name()",
    ),
    "an unknown type": (
        "@app.generic_trigger('x', 'htpTrigger')\ndef f(x): ...\n",
        ("{root}/function_app.py:6: function 'f': binding 'x': the binding type 'htpTrigger'",),
        "Did you mean 'httpTrigger'?",
    ),
    "an async orchestrator": (
        "@app.orchestration_trigger('context')\nasync def f(context):\n    yield 1\n",
        ("{root}/function_app.py:6: function 'f'", "cannot be 'async def'"),
        "Write 'def' and 'yield' the tasks.",
    ),
    "a bad route": (
        "@app.route(route='a/{id')\ndef f(req): ...\n",
        ("{root}/function_app.py:6: function 'f': binding 'req': the route 'a/{{id'",),
        "'{{' without '}}'",
    ),
    "a route of the host": (
        "@app.route(route='admin/x')\ndef f(req): ...\n",
        ("{root}/function_app.py:6: function 'f'", "conflicts with one or more built in routes"),
        "must not start with 'admin' or 'runtime'",
    ),
    "an output that is no Out": (
        "@app.route(binding_arg_name='o')\ndef f(req, o: str): ...\n",
        ("{root}/function_app.py:6: function 'f': parameter 'o' is an out binding",),
        "annotate it with azure.functions.Out[...]",
    ),
    "a bad schedule": (
        "@app.timer_trigger('t', '0 0 0 * * 7')\ndef f(t): ...\n",
        ("{root}/function_app.py:6: function 'f': binding 't'", "7 cannot be a day of week"),
        "(Sunday is 0)",
    ),
    "a setting that does not exist": (
        "@app.timer_trigger('t', '%WHEN%')\ndef f(t): ...\n",
        ("{root}/function_app.py:6: function 'f': binding 't': schedule",),
        "'%WHEN%' does not resolve to a value.",
    ),
    "a bad retry policy": (
        "@app.timer_trigger('t', '* * * * *')\n@app.retry('fixed_delay', '3')\ndef f(t): ...\n",
        ("{root}/function_app.py:6: function 'f': its retry policy",),
        "delay_interval must be a time such as 00:00:10",
    ),
}


@pytest.mark.parametrize(("code", "what", "remedy"), BROKEN.values(), ids=list(BROKEN))
def test_broken_app_is_refused_with_place_cause_and_remedy_told_once(
    tmp_path: Path, code: str, what: tuple[str, ...], remedy: str
) -> None:
    root = write(
        tmp_path / "app", {"function_app.py": "\n" + HEADER + code, "broken.py": "\n1 / 0\n"}
    )
    exit_code, output = end_of(root, tmp_path / "log")
    assert exit_code == 1
    for text in (*what, remedy):
        assert output.count(text.format(root=root)) == 1, output
    assert "func_py/" not in output
    assert "Traceback" not in output.partition("Traceback")[2]


def test_script_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "app", {"other.py": HEADER})
    exit_code, output = end_of(root, tmp_path / "log")
    assert exit_code == 1
    assert output.startswith(f"No function app in {root}: it has neither a function_app.py")

"""`func-py check` on real apps: what it finds, how it prints, how it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.process import COMMAND, running_host, wait_for

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]

FLOW = """
import time
import azure.durable_functions as df
import azure.functions as func

from prices import price

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
print("the app prints this")


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    started = time.time()
    yield context.call_activity("pey", price())
    return started


@app.activity_trigger(input_name="amount")
def pay(amount: int) -> int:
    return amount
"""
PRICES = """
import random

def price() -> int:
    return random.randint(1, 9)
"""


def make_app(root: Path, host_json: str = '{"version": "2.0"}', **files: str) -> Path:
    """An app root with these modules."""
    root.mkdir()
    (root / "host.json").write_text(host_json)
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    return root


def check(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of the command."""
    done = subprocess.run(
        [*COMMAND, "check", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def problems(root: Path) -> list[dict[str, Any]]:
    """What the JSON report lists."""
    code, output = check(root, "--format", "json")
    found: list[dict[str, Any]] = json.loads(output)["problems"]
    assert code == int(any(problem["level"] == "error" for problem in found))
    return found


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return make_app(tmp_path / "app", function_app=FLOW, prices=PRICES)


def test_the_samples_raise_no_alarm() -> None:
    code, output = check(REPOSITORY)

    assert code == 0
    assert output.endswith(" functions, 0 errors, 0 warnings\n")
    assert output.count("\n") == 1


def test_replay_unsafe_code_is_reported_where_it_is(flow: Path) -> None:
    found = {problem["rule"]: problem for problem in problems(flow)}

    assert {rule: (Path(p["file"]).name, p["line"]) for rule, p in found.items()} == {
        "replay-clock": ("function_app.py", 14),
        "unknown-function": ("function_app.py", 15),
        "replay-random": ("prices.py", 5),
    }
    assert "Use context.current_utc_datetime." in found["replay-clock"]["message"]
    assert "Did you mean 'pay'?" in found["unknown-function"]["message"]


def test_the_text_has_a_line_for_each_and_a_sum(flow: Path) -> None:
    code, output = check(flow)

    assert code == 1
    assert f"error: {flow / 'function_app.py'}:14: in orchestrator 'order': `time.time()`" in output
    assert output.endswith("\n2 functions, 3 errors, 0 warnings\n")


def test_sarif_has_paths_below_the_app_root(flow: Path) -> None:
    code, output = check(flow, "--format", "sarif")

    run = json.loads(output)["runs"][0]
    places = [r["locations"][0]["physicalLocation"] for r in run["results"]]
    assert code == 1
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {
        "replay-clock",
        "replay-random",
        "unknown-function",
    }
    assert {p["artifactLocation"]["uri"] for p in places} == {"function_app.py", "prices.py"}
    assert places[0]["region"] == {"startLine": 14, "startColumn": 15}


def test_an_app_that_does_not_load_is_reported_with_the_line(tmp_path: Path) -> None:
    code = "import azure.functions as func\n\nimport not_there\n"
    (problem,) = problems(make_app(tmp_path / "app", function_app=code))

    assert (problem["rule"], problem["line"]) == ("app", 3)
    assert "No module named 'not_there'" in problem["message"]


def test_every_problem_of_an_app_is_reported_at_once(tmp_path: Path) -> None:
    code = """
import azure.functions as func
app = func.FunctionApp()

@app.route(route="a")
def one(request: func.HttpRequest) -> str:
    return ""

@app.timer_trigger(schedule="every day", arg_name="timer")
def two(timer: func.TimerRequest) -> None:
    pass
"""
    found = problems(make_app(tmp_path / "app", function_app=code))

    assert [(p["rule"], p["line"]) for p in found] == [("app", 5), ("app", 5), ("app", 9)]


def test_a_mistake_in_host_json_is_an_error_and_a_typo_a_warning(tmp_path: Path) -> None:
    wrong = make_app(tmp_path / "wrong", '{"version": "2.0", "functionTimeout": 7}')
    typo = make_app(tmp_path / "typo", '{"version": "2.0", "logging": {"logLevl": {}}}')
    (typo / "function_app.py").write_text(FLOW.replace("time.time()", "1").replace("pey", "pay"))
    (typo / "prices.py").write_text("def price():\n    return 1\n")

    assert [(p["level"], p["rule"]) for p in problems(wrong)] == [("error", "config")]
    assert [(p["level"], p["rule"]) for p in problems(typo)] == [("warning", "warning")]
    assert check(typo)[0] == 0
    assert check(typo, "--strict")[0] == 1


def test_a_task_hub_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    host = {
        "version": "2.0",
        "extensions": {"durableTask": {"storageProvider": {"type": "netherite"}}},
    }
    app = make_app(tmp_path / "app", json.dumps(host), function_app=FLOW, prices=PRICES)

    assert problems(app)[0]["rule"] == "config"


def test_an_app_that_ends_the_process_is_reported(tmp_path: Path) -> None:
    app = make_app(tmp_path / "app", function_app="import os\nos._exit(9)\n")

    (problem,) = problems(app)
    assert "ended with exit code 9 before the app was loaded" in problem["message"]


def test_modules_of_the_app_do_not_get_in_the_way(tmp_path: Path) -> None:
    app = make_app(
        tmp_path / "app",
        function_app=FLOW.replace("time.time()", "1").replace("pey", "pay"),
        prices="def price():\n    return 1\n",
        json="raise Exception('the app')",
        click="raise Exception('the app')",
    )

    assert problems(app) == []


def test_functions_of_the_first_model_are_checked_too(tmp_path: Path) -> None:
    root = make_app(tmp_path / "app")
    for name, binding, code in (
        ("Flow", "orchestrationTrigger", "import time\ndef flow(context):\n    time.sleep(1)\n"),
        ("Work", "activityTrigger", "import nothing_here\n"),
    ):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text(code)
        bindings = [{"type": binding, "name": "context", "direction": "in"}]
        (root / name / "function.json").write_text(
            json.dumps({"bindings": bindings, "entryPoint": "flow"})
        )

    assert [(p["rule"], p["line"]) for p in problems(root)] == [
        ("function", 1),
        ("replay-sleep", 3),
    ]


def test_a_starting_host_warns_of_the_same(flow: Path, tmp_path: Path) -> None:
    with running_host(flow, tmp_path / "log") as host:
        wait_for(lambda: "[replay-clock]" in host.output, "the warning")
        assert f"{flow / 'prices.py'}:5: in 'price', called by orchestrator 'order'" in host.output


def test_a_host_in_production_does_not_lint(flow: Path, tmp_path: Path) -> None:
    with running_host(
        flow, tmp_path / "log", environ={"AZURE_FUNCTIONS_ENVIRONMENT": "Production"}
    ) as host:
        assert "[replay-clock]" not in host.output

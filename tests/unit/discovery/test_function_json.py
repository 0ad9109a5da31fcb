"""Apps of the version 1 model: folders with a function.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.apps import RecordedLog, import_state, write_app

from func_py.discovery import app_folders, is_app, load_app, load_apps
from func_py.durable.model import ActivityTask
from func_py.errors import DiscoveryError
from func_py.invocation import ActivityCalls, Invoker
from func_py_bindings.contract import FunctionSpec
from func_py_bindings.durable_function import describe


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    with import_state():
        yield


HTTP = [
    {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
    {"type": "http", "direction": "out", "name": "$return"},
]
ACTIVITY = [{"type": "activityTrigger", "direction": "in", "name": "city"}]


def write(root: Path, files: Mapping[str, Any]) -> Path:
    """Write files by relative path; a dict becomes the function.json of that folder."""
    for name, content in files.items():
        file = root / name / "function.json" if isinstance(content, dict) else root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content) if isinstance(content, dict) else content)
    return root


def one(root: Path, files: Mapping[str, Any], **options: Any) -> FunctionSpec:
    """The only function of an app, which must work."""
    (spec,) = load_app(write(root, files), **options)
    assert spec.problem == ""
    return spec


def call(spec: FunctionSpec) -> object:
    return spec.function(**{spec.trigger.name: None})


HELLO = "def main(req): return 'hello'\n"


def test_a_function_is_named_by_its_folder_and_found_at_main(tmp_path: Path) -> None:
    spec = one(tmp_path, {"Hello": {"bindings": HTTP}, "Hello/__init__.py": HELLO})
    assert (spec.name, spec.directory, spec.script_file, spec.app_root) == (
        "Hello",
        tmp_path / "Hello",
        tmp_path / "Hello" / "__init__.py",
        tmp_path,
    )
    assert spec.trigger.type == "httpTrigger"
    assert call(spec) == "hello"


def test_script_and_entry_point_may_be_named(tmp_path: Path) -> None:
    files = {
        "Hello": {"bindings": HTTP, "scriptFile": "code.py", "entryPoint": "run"},
        "Hello/code.py": "def run(req): return __name__\n",
        "Hello/other.py": "",
    }
    assert call(one(tmp_path, files)) == "__app__.Hello.code"


def test_two_functions_may_share_a_script_below_the_root(tmp_path: Path) -> None:
    shared = {"bindings": HTTP, "scriptFile": "../shared/code.py"}
    files = {
        "A": {**shared, "entryPoint": "a"},
        "B": {**shared, "entryPoint": "b"},
        "shared/code.py": "LOADED = []\ndef a(req): return LOADED\ndef b(req): return LOADED\n",
    }
    a, b = load_app(write(tmp_path, files))
    assert call(a) is call(b)


@pytest.mark.parametrize("script", ["only.py", "run.py"])
def test_script_is_found_without_being_named(tmp_path: Path, script: str) -> None:
    files = {"Hello": {"bindings": HTTP}, f"Hello/{script}": HELLO}
    if script == "run.py":
        files["Hello/another.py"] = ""
    assert call(one(tmp_path, files)) == "hello"


@pytest.mark.parametrize(
    "code",
    [
        "from . import near\ndef main(req): return near.WHERE\n",
        "from ..shared import WHERE\ndef main(req): return WHERE\n",
        "from ..shared.inner import WHERE\ndef main(req): return WHERE\n",
        "from __app__.shared.inner import WHERE\ndef main(req): return WHERE\n",
        "import __app__.shared.inner as x\ndef main(req): return x.WHERE\n",
        "from shared.inner import WHERE\ndef main(req): return WHERE\n",
        "from plain.inner import WHERE\ndef main(req): return WHERE\n",
        "from __app__.plain.inner import WHERE\ndef main(req): return WHERE\n",
        "def main(req):\n    from ..shared.inner import WHERE\n    return WHERE\n",
    ],
)
def test_shared_code_is_imported_in_every_official_way(tmp_path: Path, code: str) -> None:
    files = {
        "Hello": {"bindings": HTTP},
        "Hello/__init__.py": code,
        "Hello/near.py": "WHERE = 'here'",
        "shared/__init__.py": "WHERE = 'here'",
        "shared/inner.py": "WHERE = 'here'",
        "plain/inner.py": "WHERE = 'here'",
    }
    assert call(one(tmp_path, files)) == "here"


def test_folder_name_need_not_be_an_identifier(tmp_path: Path) -> None:
    spec = one(tmp_path, {"my-hello": {"bindings": HTTP}, "my-hello/__init__.py": HELLO})
    assert call(spec) == "hello"


def test_function_named_like_a_loaded_module_replaces_it_for_nobody(tmp_path: Path) -> None:
    code = "import queue\ndef main(req): return queue.SimpleQueue\n"
    spec = one(tmp_path, {"queue": {"bindings": HTTP}, "queue/__init__.py": code})
    assert call(spec) is sys.modules["queue"].SimpleQueue


def test_function_json_may_hold_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff{ // one\n" + f'"bindings": {json.dumps(HTTP)},' + "}"
    files = {"Hello/function.json": text, "Hello/__init__.py": HELLO}
    assert one(tmp_path, files).name == "Hello"


def test_durable_functions_keep_their_idioms(tmp_path: Path) -> None:
    trigger = {"type": "orchestrationTrigger", "direction": "in", "name": "context"}
    starter = {"type": "durableClient", "direction": "in", "name": "starter"}
    files = {
        "Flow": {"bindings": [trigger]},
        "Flow/__init__.py": "import azure.durable_functions as df\n"
        "def flow(context): yield context.call_activity('SayHello', 'x')\n"
        "main = df.Orchestrator.create(flow)\n",
        "Counter": {"bindings": [{**trigger, "type": "entityTrigger"}]},
        "Counter/__init__.py": "import azure.durable_functions as df\n"
        "def entity(context): ...\nmain = df.Entity.create(entity)\n",
        "SayHello": {"bindings": ACTIVITY},
        "SayHello/__init__.py": "def main(city: str) -> str: return city\n",
        "Start": {"bindings": [*HTTP, starter]},
        "Start/__init__.py": "async def main(req, starter: str): ...\n",
    }
    specs = load_app(write(tmp_path, files))
    assert [spec.problem for spec in specs] == [""] * 4
    described = [describe(spec) for spec in specs]
    assert [(d.kind, d.name) for d in described if d is not None] == [
        ("entity", "Counter"),
        ("orchestrator", "Flow"),
        ("activity", "SayHello"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("OFF", True), ("ON", False), ("nowhere", False), (None, False)],
)
def test_disabled_is_a_truth_value_or_a_setting(
    tmp_path: Path, value: object, expected: bool
) -> None:
    files = {"Hello": {"bindings": HTTP, "disabled": value}, "Hello/__init__.py": HELLO}
    assert one(tmp_path, files, environ={"off": "True", "on": "0"}).is_disabled is expected


def test_settings_are_filled_into_bindings(tmp_path: Path) -> None:
    bindings = [{**ACTIVITY[0], "activity": "%PREFIX%-%Name%"}]
    files = {"Say": {"bindings": bindings}, "Say/__init__.py": "def main(city): ...\n"}
    spec = one(tmp_path, files, environ={"prefix": "a", "NAME": "b"})
    assert spec.trigger.get("activity") == "a-b"


def test_retry_policy_is_read(tmp_path: Path) -> None:
    retry = {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:10"}
    bindings = [{"type": "timerTrigger", "direction": "in", "name": "t", "schedule": "* * * * *"}]
    files = {
        "Tick": {"bindings": bindings, "retry": retry},
        "Tick/__init__.py": "def main(t): ...\n",
    }
    spec = one(tmp_path, files)
    assert spec.retry is not None
    assert (spec.retry.max_retry_count, spec.retry.minimum.seconds) == (3, 10)


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "no JSON",
        {"Bad/function.json": "{", "Bad/__init__.py": HELLO},
        "Bad/function.json: is not valid JSON",
    ),
    (
        "no bindings",
        {"Bad": {}, "Bad/__init__.py": HELLO},
        "at least one binding must be declared",
    ),
    (
        "bindings that are no list",
        {"Bad": {"bindings": {"x": 1}}, "Bad/__init__.py": HELLO},
        "bindings: must be a list of JSON objects",
    ),
    (
        "no script",
        {"Bad": {"bindings": HTTP, "scriptFile": "gone.py"}},
        "scriptFile: {root}/Bad/gone.py does not exist",
    ),
    (
        "a script outside of the root",
        {"Bad": {"bindings": HTTP, "scriptFile": "../../outside.py"}, "../outside.py": HELLO},
        "outside.py is outside of the app root {root}",
    ),
    (
        "a script in another language",
        {"Bad": {"bindings": HTTP}, "Bad/index.js": ""},
        "Bad/index.js is no *.py file",
    ),
    (
        "two possible scripts",
        {"Bad": {"bindings": HTTP}, "Bad/a.py": "", "Bad/b.py": ""},
        "which one holds the function?",
    ),
    (
        "no entry point",
        {"Bad": {"bindings": HTTP}, "Bad/__init__.py": "def run(req): ...\n"},
        "{root}/Bad/__init__.py: the entry point 'main' is not there",
    ),
    (
        "an entry point that cannot be called",
        {"Bad": {"bindings": HTTP}, "Bad/__init__.py": "main = 3\n"},
        "the entry point 'main' is no function: int",
    ),
    (
        "an import error",
        {"Bad": {"bindings": HTTP}, "Bad/__init__.py": "import no_such_package\n"},
        "ModuleNotFoundError: No module named 'no_such_package'\n  The module",
    ),
    (
        "a syntax error",
        {"Bad": {"bindings": HTTP}, "Bad/__init__.py": "def main(:\n"},
        'File "{root}/Bad/__init__.py", line 1',
    ),
    (
        "a wrong parameter",
        {"Bad": {"bindings": HTTP}, "Bad/__init__.py": "def main(request): ...\n"},
        "{root}/Bad/__init__.py:1: function 'Bad': the parameters 'request' have no binding",
    ),
    (
        "an unknown type",
        {"Bad": {"bindings": [{"type": "htpTrigger", "name": "req"}]}, "Bad/__init__.py": HELLO},
        "the binding type 'htpTrigger' is not supported. Did you mean 'httpTrigger'?",
    ),
    (
        "a setting that does not exist",
        {
            "Bad": {"bindings": [{**ACTIVITY[0], "activity": "%GONE%"}]},
            "Bad/__init__.py": "def main(city): ...\n",
        },
        "binding 'city': activity: '%GONE%' does not resolve to a value.",
    ),
    (
        "a taken route",
        {"Bad": {"bindings": [{**HTTP[0], "route": "good"}, HTTP[1]]}, "Bad/__init__.py": HELLO},
        "the route 'Good' of function 'Good' conflicts with the route of function 'Bad'",
    ),
]


@pytest.mark.parametrize(
    ("files", "expected"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_broken_function_is_listed_with_its_problem_and_stops_no_other(
    tmp_path: Path, files: dict[str, Any], expected: str
) -> None:
    root = tmp_path / "app"
    good = {"Good": {"bindings": HTTP}, "Good/__init__.py": HELLO}
    specs = load_app(write(root, {**good, **files}))
    assert [spec.name for spec in specs] == ["Bad", "Good"]
    (broken,) = [spec for spec in specs if spec.problem]
    assert expected.format(root=root) in broken.problem


def test_first_call_of_a_broken_function_fails_with_what_its_module_raised(tmp_path: Path) -> None:
    files = {
        "Good": {"bindings": HTTP},
        "Good/__init__.py": HELLO,
        "Bad": {"bindings": HTTP},
        "Bad/__init__.py": "1/0\n",
    }
    bad, _ = load_app(write(tmp_path, files))
    assert bad.trigger.type == "httpTrigger"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            call(bad)
        assert caught.traceback[-1].path == tmp_path / "Bad" / "__init__.py"


async def test_broken_activity_fails_its_task_with_what_its_module_raised(tmp_path: Path) -> None:
    files = {
        "Good": {"bindings": HTTP},
        "Good/__init__.py": HELLO,
        "Bad": {"bindings": ACTIVITY},
        "Bad/__init__.py": "1/0\n",
    }
    invoker = Invoker(RecordedLog())
    activities = ActivityCalls(load_app(write(tmp_path, files)), invoker)
    task = ActivityTask(instance_id="i", execution_id="e", task_id=0, name="Bad", input=None)
    failure = (await activities.run(task)).failure
    invoker.close()
    assert failure is not None
    assert (failure.type, failure.message) == ("ZeroDivisionError", "division by zero")
    assert str(tmp_path / "Bad" / "__init__.py") in failure.stack


def test_app_whose_functions_are_all_broken_does_not_start(tmp_path: Path) -> None:
    files = {"A": {"bindings": HTTP}, "B": {"bindings": HTTP}}
    with pytest.raises(DiscoveryError) as caught:
        load_app(write(tmp_path, files))
    assert len(caught.value.problems) == 2


def test_decorated_app_wins_over_function_folders_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {"Old": {"bindings": HTTP}, "Old/__init__.py": HELLO})
    source = "@app.route()\ndef new(req): ...\n"
    assert [spec.name for spec in load_app(write_app(tmp_path, source))] == ["new"]
    assert "version 1 model are not loaded beside a function_app.py: Old." in caplog.text


def test_folder_of_both_models_is_an_app_and_others_are_not(tmp_path: Path) -> None:
    write(tmp_path / "function_apps", {"one/Hello": {"bindings": HTTP}, "two/function_app.py": ""})
    (tmp_path / "function_apps" / "three").mkdir()
    assert [folder.name for folder in app_folders(tmp_path)] == ["one", "two"]
    assert is_app(tmp_path / "function_apps" / "one")
    assert not is_app(tmp_path)


def test_apps_of_both_models_share_a_host(tmp_path: Path) -> None:
    code = "from ..{0}_parts.x import NAME\ndef main(req):\n  from __app__.{0}_parts import x\n"
    for name in ("a", "b"):
        files = {
            f"Hello{name}": {"bindings": HTTP},
            f"Hello{name}/__init__.py": code.format(name) + "  return x.NAME\n",
            f"{name}_parts/x.py": f"NAME = '{name}'",
        }
        write(tmp_path / "function_apps" / name, files)
    write_app(tmp_path / "function_apps" / "c", "@app.route()\ndef c(req): return 'c'\n")
    assert [call(spec) for spec in load_apps(tmp_path)] == ["c", "a", "b"]


def test_shared_code_of_one_name_in_two_apps_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        files = {name.upper(): {"bindings": HTTP}, f"{name}/__init__.py": "", "parts/x.py": ""}
        write(tmp_path / "function_apps" / name, files)
    with pytest.raises(DiscoveryError, match="two apps have a top-level module 'parts'"):
        load_apps(tmp_path)

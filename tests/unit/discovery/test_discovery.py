"""Loading apps: what is found, and how mistakes are told."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.apps import import_state, write_app

from func_py.discovery import load_app, load_apps
from func_py.errors import DiscoveryError


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    with import_state():
        yield


def problems(root: Path, source: str, files: dict[str, str] | None = None) -> list[str]:
    """What the listing says about an app that does not load."""
    with pytest.raises(DiscoveryError) as caught:
        load_app(write_app(root, source, files))
    return caught.value.problems


HELLO = """
@app.route(route="hello/{name?}", methods=["GET"])
async def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hi")
"""


def test_functions_are_described_completely(tmp_path: Path) -> None:
    (spec,) = load_app(write_app(tmp_path, HELLO))
    assert (spec.name, spec.python_name, spec.is_async, spec.parameters) == (
        "hello",
        "hello",
        True,
        ("req",),
    )
    assert (spec.app_root, spec.directory, spec.script_file) == (
        tmp_path,
        tmp_path,
        tmp_path / "function_app.py",
    )
    assert spec.trigger.type == "httpTrigger"
    assert spec.trigger.get("ROUTE") == "hello/{name?}"
    assert [(b.type, b.name, b.direction) for b in spec.bindings] == [
        ("httpTrigger", "req", "in"),
        ("http", "$return", "out"),
    ]


def test_functions_are_sorted_by_name_in_any_case(tmp_path: Path) -> None:
    source = "".join(
        f'@app.activity_trigger(input_name="x")\ndef {name}(x): ...\n' for name in ("b", "A", "C")
    )
    assert [spec.name for spec in load_app(write_app(tmp_path, source))] == ["A", "b", "C"]


def test_functions_of_a_registered_blueprint_are_found(tmp_path: Path) -> None:
    blueprint = """
import azure.functions as func
bp = func.Blueprint()
@bp.route()
def inner(req: func.HttpRequest) -> str: return "x"
"""
    source = "from parts.http import bp\napp.register_functions(bp)\n"
    files = {"parts/__init__.py": "", "parts/http.py": blueprint}
    (spec,) = load_app(write_app(tmp_path, source, files))
    assert spec.name == "inner"
    assert spec.directory == tmp_path / "parts"


def test_durable_client_function_is_as_async_as_the_users_code(tmp_path: Path) -> None:
    source = """
@app.route()
@app.durable_client_input(client_name="client")
def start(req: func.HttpRequest, client) -> str: ...
"""
    (spec,) = load_app(write_app(tmp_path, source))
    assert not spec.is_async


def test_app_root_is_working_directory_and_first_on_the_path(tmp_path: Path) -> None:
    check = f"import os\nassert os.getcwd() == {str(tmp_path)!r}\n"
    load_app(write_app(tmp_path, check + HELLO))
    assert sys.path[0] == str(tmp_path)


def test_deployed_packages_follow_the_app_root_on_the_path(tmp_path: Path) -> None:
    files = {".python_packages/lib/site-packages/deployed.py": "x = 1"}
    load_app(write_app(tmp_path, "import deployed\n" + HELLO, files))
    assert sys.path[1] == str(tmp_path / ".python_packages" / "lib" / "site-packages")


@pytest.mark.parametrize("name", ["host", "bindings", "tests", "click", "config", "queue", "logs"])
def test_modules_of_the_app_win_over_loaded_ones(tmp_path: Path, name: str) -> None:
    source = f"import {name}\nassert {name}.OWN\n" + HELLO
    assert load_app(write_app(tmp_path, source, {f"{name}.py": "OWN = True"}))


def test_standard_library_is_back_after_the_app_is_loaded(tmp_path: Path) -> None:
    load_app(write_app(tmp_path, "import queue\n" + HELLO, {"queue.py": "OWN = True"}))
    assert sys.modules["queue"] is queue


def test_packages_the_host_shares_with_the_app_are_not_replaced(tmp_path: Path) -> None:
    load_app(write_app(tmp_path, HELLO, {"func_py/__init__.py": "raise RuntimeError"}))
    assert sys.modules["func_py"].__file__ != str(tmp_path / "func_py" / "__init__.py")


def test_missing_script_names_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"no function app in .*: there is no other\.py"):
        load_app(tmp_path, script_file="other.py")


def test_script_outside_the_app_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"'\.\./x\.py' is no plain \*\.py file name"):
        load_app(tmp_path, script_file="../x.py")


def test_missing_app_object_points_at_an_unregistered_blueprint(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "del app\nparts = func.Blueprint()\n")
    assert "function_app.py: no function app found" in problem
    assert "app.register_functions(parts)" in problem


def test_two_names_for_app_objects_are_both_shown(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "other = app\n" + HELLO)
    assert "more than one function app" in problem
    assert "'app' (DFApp), 'other' (DFApp)" in problem


def test_app_without_functions_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "")
    assert "the app has no functions" in problem


def test_import_error_shows_the_users_frames_only(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "import helper\n", {"helper.py": "def f():\n  1/0\nf()\n"})
    assert f'File "{tmp_path / "function_app.py"}", line 5' in problem
    assert f'File "{tmp_path / "helper.py"}", line 2, in f' in problem
    assert "ZeroDivisionError: division by zero" in problem
    assert "importlib" not in problem
    assert "func_py" not in problem


def test_missing_package_says_how_to_install_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "import no_such_package\n")
    assert "The module 'no_such_package' is not installed in this environment" in problem
    assert f"-m pip install -r {tmp_path / 'requirements.txt'}" in problem


def test_syntax_error_shows_file_and_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "def broken(:\n")
    assert f'File "{tmp_path / "function_app.py"}", line 5' in problem
    assert "SyntaxError" in problem
    assert "func_py" not in problem


def test_exit_at_import_is_told_and_does_not_end_the_host(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "import sys\nsys.exit(3)\n")
    assert "ends the process while it is imported" in problem


def test_every_problem_is_listed_at_once_with_file_and_line(tmp_path: Path) -> None:
    source = """
@app.route()
def one(request: func.HttpRequest) -> str: ...

@app.generic_trigger(arg_name="x", type="htpTrigger")
def two(x): ...

@app.orchestration_trigger(context_name="context")
async def three(context): ...
"""
    script = tmp_path / "function_app.py"
    starts = (
        f"{script}:6: function 'one': the parameters 'request' have no binding.",
        f"{script}:6: function 'one': the bindings 'req' have no parameter.",
        f"{script}:9: function 'two': binding 'x': the binding type 'htpTrigger' is not supported.",
        f"{script}:12: function 'three': binding 'context': an orchestrator function cannot be",
    )
    for problem, start in zip(problems(tmp_path, source), starts, strict=True):
        assert problem.startswith(start)


def test_duplicate_names_show_both_places(tmp_path: Path) -> None:
    again = HELLO.replace("async def hello", "async def other").replace(
        "@app.route", '@app.function_name("hello")\n@app.route', 1
    )
    (problem,) = problems(tmp_path, HELLO + again)
    assert "the function name 'hello' is taken already" in problem
    assert "function_app.py:6" in problem
    assert "function_app.py:10" in problem


def test_names_that_differ_in_case_only_collide(tmp_path: Path) -> None:
    source = HELLO + HELLO.replace("def hello", "def Hello").replace('"hello/', '"other/')
    (problem,) = problems(tmp_path, source)
    assert "is taken already" in problem


def test_function_without_trigger_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '@app.function_name("lost")\ndef f(): ...\n')
    assert problem == f"{tmp_path / 'function_app.py'}:5: function 'lost' has no trigger."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@app.route()\ndef f(req: int) -> str: ...", "does not match the annotation builtins.int"),
        ('@app.route()\ndef f(req: "Gone") -> str: ...', "annotations cannot be resolved"),
        ("@app.route()\ndef f(req: func.Out[str]) -> str: ...", "is an in binding: annotate it"),
        ("@app.route()\ndef f(req) -> None: ...", "return annotation builtins.NoneType does not"),
        ("@app.route()\ndef f(req) -> int: ...", "return annotation builtins.int does not match"),
        ("@app.route()\ndef f(req) -> func.Out[str]: ...", "must not be azure.functions.Out"),
        (
            "@app.route()\ndef f(req, context: int) -> str: ...",
            'the "context" parameter is expected to be of type azure.functions.Context',
        ),
        (
            '@app.route(binding_arg_name="out")\ndef f(req, out: func.HttpResponse): ...',
            "parameter 'out' is an out binding: annotate it with azure.functions.Out",
        ),
        ('@app.route(route="administrators/{id}")\ndef f(req): ...', "built in routes"),
        ('@app.function_name("1st")\n@app.route()\ndef f(req): ...', "not a valid function name"),
        (
            '@app.orchestration_trigger("context", orchestration="@x")\ndef f(context): ...',
            "must not start with '@'",
        ),
        (
            '@app.entity_trigger(context_name="context")\ndef f(): ...',
            "must take exactly one argument",
        ),
        (
            '@app.route()\n@app.generic_output_binding("req", "http")\ndef f(req): ...',
            "multiple bindings with name 'req'",
        ),
        (
            '@app.route()\n@app.generic_output_binding("o", "activityTrigger")\ndef f(req, o): ...',
            "exactly one trigger, this one has 2 triggers",
        ),
    ],
)
def test_rule_of_a_function_is_enforced(tmp_path: Path, source: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, source))


def test_context_may_be_annotated_as_the_sdks(tmp_path: Path) -> None:
    source = "@app.route()\ndef f(req, context: func.Context) -> str: ...\n"
    assert load_app(write_app(tmp_path, source))[0].parameters == ("req", "context")


def test_orchestrator_may_name_its_context_freely(tmp_path: Path) -> None:
    source = '@app.orchestration_trigger(context_name="ctx")\ndef f(ctx): yield ctx.x()\n'
    assert load_app(write_app(tmp_path, source))


def test_conflicting_routes_name_both_functions(tmp_path: Path) -> None:
    source = """
@app.route(route="x/{id}", methods=["GET"])
def a(req: func.HttpRequest) -> str: ...
@app.route(route="/X/{id}/")
def b(req: func.HttpRequest) -> str: ...
"""
    (problem,) = problems(tmp_path, source)
    assert "of function 'b' conflicts with the route of function 'a'" in problem


def test_same_route_with_other_methods_is_no_conflict(tmp_path: Path) -> None:
    source = """
@app.route(route="x", methods=["GET"])
def a(req: func.HttpRequest) -> str: ...
@app.route(route="x", methods=["POST"])
def b(req: func.HttpRequest) -> str: ...
"""
    assert len(load_app(write_app(tmp_path, source))) == 2


def test_two_activities_of_one_durable_name_collide(tmp_path: Path) -> None:
    source = """
@app.activity_trigger(input_name="x", activity="Pay")
def a(x): ...
@app.activity_trigger(input_name="x", activity="pay")
def b(x): ...
"""
    (problem,) = problems(tmp_path, source)
    assert "the activity name 'pay' of function 'b' is taken already, by function 'a'" in problem


CUSTOM = """
class Money:
    pass

@app.activity_trigger(input_name="x")
def {name}(x): ...
"""


def two_apps(root: Path, files: dict[str, str] | None = None) -> Path:
    write_app(root / "function_apps" / "first", CUSTOM.format(name="one"), files)
    write_app(root / "function_apps" / "second-app", CUSTOM.format(name="two"), files)
    return root


def test_apps_below_one_root_are_loaded_together(tmp_path: Path) -> None:
    specs = load_apps(two_apps(tmp_path))
    assert [(spec.name, spec.app) for spec in specs] == [("one", "first"), ("two", "second-app")]
    assert Path.cwd() == tmp_path


def test_entry_modules_are_found_under_names_of_their_own(tmp_path: Path) -> None:
    one, two = load_apps(two_apps(tmp_path))
    modules = [sys.modules[spec.function.__module__] for spec in (one, two)]
    assert [module.__name__ for module in modules] == [
        "function_app__first",
        "function_app__second_app",
    ]
    assert modules[0].Money is not modules[1].Money


def test_apps_may_import_their_entry_module_while_it_is_loaded(tmp_path: Path) -> None:
    helper = "import function_app\nNAME = function_app.__name__\n"
    write_app(
        tmp_path / "function_apps" / "a",
        "import a_helper\nassert a_helper.NAME == __name__\n" + CUSTOM.format(name="one"),
        {"a_helper.py": helper},
    )
    assert load_apps(tmp_path)


def test_module_of_two_apps_is_refused_with_both_files(tmp_path: Path) -> None:
    two_apps(tmp_path, {"shared.py": ""})
    with pytest.raises(DiscoveryError) as caught:
        load_apps(tmp_path)
    (problem,) = caught.value.problems
    assert str(tmp_path / "function_apps" / "first" / "shared.py") in problem
    assert str(tmp_path / "function_apps" / "second-app" / "shared.py") in problem


def test_function_name_of_two_apps_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_app(tmp_path / "function_apps" / name, CUSTOM.format(name="same"))
    with pytest.raises(DiscoveryError, match="'same' is taken already"):
        load_apps(tmp_path)


def test_problems_of_all_apps_come_in_one_listing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_app(tmp_path / "function_apps" / name, "1/0\n")
    with pytest.raises(DiscoveryError) as caught:
        load_apps(tmp_path)
    assert len(caught.value.problems) == 2


def test_host_json_of_an_app_is_reported_as_unused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two_apps(tmp_path)
    folder = tmp_path / "function_apps"
    (folder / "first" / "host.json").write_text('{"version": "2.0", "functions": ["a"]}')
    (folder / "second-app" / "host.json").write_text('{"version": "2.0"}')
    load_apps(tmp_path)
    assert "first/host.json is not used" in caplog.text
    assert "second-app/host.json" not in caplog.text  # it says nothing that could be missed


def test_root_without_apps_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="no app folder"):
        load_apps(tmp_path)

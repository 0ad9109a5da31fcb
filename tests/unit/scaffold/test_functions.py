"""Adding functions: to a new file, to one that exists, and not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.apps import import_state

from func_py.discovery import load_app
from func_py.errors import UserError
from func_py.scaffold import TEMPLATES, Template, add_function, find_template, write_project

MAIN = "function_app.py"
BY_NAME = {template.name: template for template in TEMPLATES}


def loaded(root: Path) -> dict[str, str]:
    """Function name → trigger type, as the host sees the app."""
    with import_state():
        return {spec.name: spec.trigger.type for spec in load_app(root)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
@pytest.mark.parametrize("begun", [False, True], ids=["empty", "after init"])
def test_every_template_makes_an_app_that_the_host_loads(
    tmp_path: Path, template: Template, begun: bool
) -> None:
    if begun:
        write_project(tmp_path)

    add_function(tmp_path, template, "one", "anonymous")
    add_function(tmp_path, template, "two", "admin")

    assert {"one", "two"} <= loaded(tmp_path).keys()
    imports = [line for line in (tmp_path / MAIN).read_text().splitlines() if "import" in line]
    assert len(imports) == len(set(imports))


def test_all_templates_fit_into_one_app(tmp_path: Path) -> None:
    write_project(tmp_path)

    for template in TEMPLATES:
        add_function(tmp_path, template, f"my_{template.name}", "function")

    assert loaded(tmp_path) == {
        "my_activity": "activityTrigger",
        "my_entity": "entityTrigger",
        "my_http": "httpTrigger",
        "my_orchestration": "orchestrationTrigger",
        "my_orchestration_step": "activityTrigger",
        "my_starter": "httpTrigger",
        "my_timer": "timerTrigger",
    }


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_blueprint_file_is_made_and_can_be_registered_as_told(
    tmp_path: Path, template: Template
) -> None:
    write_project(tmp_path)

    notes = add_function(tmp_path, template, "one", "function", "orders.py").notes

    assert notes[0].startswith("Register the blueprint in function_app.py")
    with (tmp_path / MAIN).open("a") as main:
        main.write("\n".join(line.strip() for line in notes[1:3]) + "\n")
    assert "one" in loaded(tmp_path)


def test_names_of_the_file_are_used_as_they_are(tmp_path: Path) -> None:
    (tmp_path / MAIN).write_text(
        '"""My app."""\n'
        "from __future__ import annotations\n"
        "from azure import functions as az\n"
        "\n"
        "application = az.FunctionApp()\n"
    )

    notes = add_function(tmp_path, BY_NAME["activity"], "step", "function").notes

    assert "function_app.py: 'application' is a DFApp now." in notes
    assert (tmp_path / MAIN).read_text() == (
        '"""My app."""\n'
        "from __future__ import annotations\n"
        "from azure import functions as az\n"
        "import azure.durable_functions as df\n"
        "\n"
        "application = df.DFApp()\n"
        "\n\n"
        '@application.activity_trigger(input_name="city")\n'
        "def step(city: str) -> str:\n"
        '    return f"Hello, {city}!"\n'
    )


def test_line_ends_stay_what_they_were(tmp_path: Path) -> None:
    (tmp_path / MAIN).write_bytes(
        b"import azure.functions as func\r\n\r\napp = func.FunctionApp()\r\n"
    )

    add_function(tmp_path, BY_NAME["http"], "hello", "function")

    content = (tmp_path / MAIN).read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "azure-functions-durable\n"),
        ("azure-functions", "azure-functions\nazure-functions-durable\n"),
        ("azure_functions_durable>=1.2\n", "azure_functions_durable>=1.2\n"),
    ],
)
def test_a_durable_function_needs_its_package(
    tmp_path: Path, before: str | None, after: str
) -> None:
    if before is not None:
        (tmp_path / "requirements.txt").write_text(before)

    add_function(tmp_path, BY_NAME["activity"], "step", "function")

    assert (tmp_path / "requirements.txt").read_text() == after


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def broken(:\n", f"{MAIN}:1: is not valid Python"),
        ("x = 1\n", "has no function app and no blueprint at module level"),
        (
            (
                "import azure.functions as func\n"
                "app = func.FunctionApp()\n"
                "def one_step() -> None: ...\n"
            ),
            "the name 'one_step' is taken already",
        ),
        (
            "import azure.functions as func\ndf = 1\napp = func.FunctionApp()\n",
            "the name 'df' is taken already; import azure.durable_functions under another one",
        ),
        (
            "import azure.functions as func\napp = func.AsgiFunctionApp(app=None)\n",
            f"{MAIN}:2: 'app' is no durable app",
        ),
    ],
)
def test_a_file_that_cannot_be_added_to_stays_as_it_is(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / MAIN).write_text(text)

    with pytest.raises(UserError) as raised:
        add_function(tmp_path, BY_NAME["orchestration"], "one", "function")

    assert problem in str(raised.value)
    assert (tmp_path / MAIN).read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == [MAIN]


@pytest.mark.parametrize("name", ["1st", "a-b", "class", "host", "ä", ""])
def test_a_name_that_no_function_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a valid function name"):
        add_function(tmp_path, BY_NAME["http"], name, "function")


@pytest.mark.parametrize("file", ["../x.py", "x.txt", "sub/x.py"])
def test_only_a_python_file_of_the_app_can_be_added_to(tmp_path: Path, file: str) -> None:
    with pytest.raises(UserError, match="is no name of a Python file"):
        add_function(tmp_path, BY_NAME["http"], "one", "function", file)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("HTTP trigger", "http"),
        ("httptrigger", "http"),
        ("Timer Trigger", "timer"),
        ("Durable Functions Orchestrator", "orchestration"),
        ("DurableFunctionsHttpStarter", "starter"),
    ],
)
def test_templates_are_found_under_the_names_of_core_tools(name: str, found: str) -> None:
    assert find_template(name).name == found


def test_an_unknown_template_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError) as raised:
        find_template("activty")

    assert str(raised.value).startswith(
        'Can\'t find template "activty" in "python". Did you mean \'activity\'? Templates: http, '
    )

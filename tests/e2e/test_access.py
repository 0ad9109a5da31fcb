"""Keys, the admin API, disabled functions and CORS, on a host as users start it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.process import running_host, wait_for

from func_py.keys import DEFAULT, HOST, KeyStore, of_function

pytestmark = pytest.mark.e2e

APP = """
import logging
import azure.functions as func
import azure.durable_functions as df

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

@app.route(route="start", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new("chain"))

@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("shout", "hello"))

@app.activity_trigger(input_name="text")
def shout(text: str) -> str:
    print(f"shouting {text}", flush=True)
    return text.upper()

@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def open_to_all(req: func.HttpRequest) -> str:
    logging.info("a detail")
    logging.error("a mistake")
    return "open"

@app.route(route="off", auth_level=func.AuthLevel.ANONYMOUS)
async def off(req: func.HttpRequest) -> str:
    return "off"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    (root / "host.json").write_text('{"version": "2.0"}')
    (root / "function_app.py").write_text(APP)
    settings = {
        "Values": {"AzureWebJobs.off.Disabled": "true"},
        "Host": {"CORS": "http://page:3000"},
    }
    (root / "local.settings.json").write_text(json.dumps(settings))
    return root


def test_with_enable_auth_keys_open_functions_links_and_the_admin_api(
    root: Path, tmp_path: Path
) -> None:
    with running_host(root, tmp_path / "log", ["--enable-auth"]) as host:
        keys = KeyStore(root / ".func-py" / "keys")
        master = {"x-functions-key": keys.master()}

        assert host.get("/api/open").text == "open"
        assert host.post("/api/start").status == 401
        assert host.get("/admin/host/status").status == 401
        assert host.get("/admin/host/ping").status == 200
        assert host.request("GET", "/admin/host/status", headers=master).json()["id"]
        assert host.get("/api/off").status == 404
        assert host.request("GET", "/api/off", headers=master).text == "off"

        own = keys.keys(of_function("start"))[DEFAULT]
        assert host.post(f"/api/start?code={keys.keys(HOST)[DEFAULT]}").status == 202
        started = host.post(f"/api/start?code={own}")
        assert host.wait_for_end_of(started)["output"] == "HELLO"

        status_url = started.json()["statusQueryGetUri"]
        without_key, _, key = status_url.rpartition("&code=")
        assert key
        assert host.get(without_key).status == 401
        assert host.get(f"{without_key}&code={own}").status == 401
        assert host.get(f"{without_key}&code={keys.master()}").status == 200
        assert "Function off is disabled." in host.output


def test_in_development_nobody_is_asked_and_pages_of_the_settings_may_call(
    root: Path, tmp_path: Path
) -> None:
    with running_host(root, tmp_path / "log") as host:
        assert host.get("/api/off").text == "off"
        assert host.post("/api/start").status == 202

        answer = host.request("GET", "/api/open", headers={"Origin": "http://page:3000"})
        assert answer.headers["access-control-allow-origin"] == "http://page:3000"

        called = host.post("/admin/functions/shout", {"input": "you"})
        assert called.status == 202
        functions = host.get("/admin/functions").json()
        assert [f["name"] for f in functions if f["isDisabled"]] == ["off"]
        assert not (root / ".func-py" / "keys").exists()


def test_flags_choose_functions_origins_and_what_is_logged(root: Path, tmp_path: Path) -> None:
    arguments = ["--functions", "OPEN_TO_ALL", "strat", "--cors", "*", "--user-log-level", "Error"]
    with running_host(root, tmp_path / "log", arguments) as host:
        assert host.get("/api/open").text == "open"
        assert host.post("/api/start").status == 404
        assert [f["name"] for f in host.get("/admin/functions").json()] == ["open_to_all"]
        warning = "There is no function 'strat' to load. Did you mean 'start'?"
        wait_for(lambda: warning in host.output or None, "the warning")
        wait_for(lambda: "a mistake" in host.output or None, "what the function logs")
        assert "a detail" not in host.output
        answer = host.request("GET", "/", headers={"Origin": "http://any"})
        assert answer.headers["access-control-allow-origin"] == "*"


def test_a_drained_host_leaves_orchestrations_to_the_process_after_it(
    root: Path, tmp_path: Path
) -> None:
    with running_host(root, tmp_path / "log") as host:
        assert host.post("/admin/host/drain").status == 202

        def drained() -> bool:
            return bool(host.get("/admin/host/drain/status").json()["state"] == "Completed")

        wait_for(drained, "the drain")
        started = host.post("/api/start")
        assert started.status == 202
        assert host.get(started.json()["statusQueryGetUri"]).json()["runtimeStatus"] == "Pending"

        assert host.post("/admin/host/resume").json() == {"state": "Running"}
        assert host.wait_for_end_of(started)["output"] == "HELLO"


def test_a_client_that_an_app_builds_itself_needs_no_key(tmp_path: Path) -> None:
    root = tmp_path / "app"
    files = {
        "host.json": '{"version": "2.0"}',
        "Start/__init__.py": (
            "import azure.durable_functions as df\n"
            "async def main(req, starter):\n"
            "    client = df.DurableOrchestrationClient(starter)\n"
            "    instance_id = await client.start_new('Chain')\n"
            "    return client.create_check_status_response(req, instance_id)\n"
        ),
        "Start/function.json": json.dumps(
            {
                "bindings": [
                    {
                        "type": "httpTrigger",
                        "direction": "in",
                        "name": "req",
                        "authLevel": "anonymous",
                    },
                    {"type": "durableClient", "direction": "in", "name": "starter"},
                    {"type": "http", "direction": "out", "name": "$return"},
                ]
            }
        ),
        "Chain/__init__.py": (
            "import azure.durable_functions as df\n"
            "def run(context):\n"
            "    return 'ran'\n"
            "    yield\n"
            "main = df.Orchestrator.create(run)\n"
        ),
        "Chain/function.json": json.dumps(
            {"bindings": [{"type": "orchestrationTrigger", "direction": "in", "name": "context"}]}
        ),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    environ = {"AZURE_FUNCTIONS_ENVIRONMENT": "Production"}
    with running_host(root, tmp_path / "log", environ=environ) as host:
        assert host.get("/admin/functions").status == 401
        assert host.wait_for_end_of(host.post("/api/Start"))["output"] == "ran"

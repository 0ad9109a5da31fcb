"""Who is asked for keys, and what is made for them."""

from __future__ import annotations

from pathlib import Path

import azure.functions as func
import pytest
from support.apps import functions

from func_py.config.host_json import load_host_config
from func_py.config.settings import HostConfig
from func_py.keys import KeyStore
from func_py.runtime.access import access_of, disabled_functions, host_facts, key_notices
from func_py_bindings.contract import FunctionSpec


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    return load_host_config(tmp_path, {})


@pytest.fixture
def specs() -> list[FunctionSpec]:
    app = func.FunctionApp()

    def hello(req: func.HttpRequest) -> str:
        return "hello"

    for level in (func.AuthLevel.FUNCTION, func.AuthLevel.ANONYMOUS):
        name = f"for_{level.value.lower()}"
        app.function_name(name)(app.route(route=name, auth_level=level)(hello))
    return list(functions(app).values())


def test_keys_are_made_at_the_start_for_functions_that_need_them(
    config: HostConfig, specs: list[FunctionSpec], tmp_path: Path
) -> None:
    access_of(config, specs, {}, enforced=True)

    assert KeyStore(tmp_path / ".func-py" / "keys").functions() == ["for_function"]


def test_nothing_is_made_when_nobody_asks_for_keys(
    config: HostConfig, specs: list[FunctionSpec], tmp_path: Path
) -> None:
    access = access_of(config, specs, {}, enforced=False)

    assert (access.system_key("x"), access.secret_of("x")) == ("", "")
    assert not (tmp_path / ".func-py").exists()


def test_all_processes_of_a_host_have_the_same_secrets(config: HostConfig) -> None:
    one, other = (access_of(config, [], {}, enforced=True) for _ in range(2))

    assert one.secret_of("a") == other.secret_of("a") != one.secret_of("b")
    assert one.system_key("a") == other.system_key("a")


def test_the_directory_of_secrets_can_be_another_one(config: HostConfig, tmp_path: Path) -> None:
    access_of(config, [], {"FUNCTIONS_SECRETS_PATH": str(tmp_path / "there")}, enforced=True)

    assert (tmp_path / "there" / "host.json").exists()


@pytest.mark.parametrize(
    ("kind", "enforced", "count"), [("files", True, 0), ("blob", True, 1), ("blob", False, 0)]
)
def test_a_secret_store_that_is_not_had_is_told(
    config: HostConfig, kind: str, enforced: bool, count: int
) -> None:
    access = access_of(config, [], {}, enforced=enforced)

    assert len(key_notices(access, {"AzureWebJobsSecretStorageType": kind})) == count


def test_settings_disable_functions(specs: list[FunctionSpec]) -> None:
    environ = {"AzureWebJobs.FOR_FUNCTION.Disabled": "true"}

    assert disabled_functions(specs, environ) == {"for_function"}


def test_the_id_of_a_host_is_that_of_its_app_unless_it_is_given(config: HostConfig) -> None:
    one, other = (host_facts(config, {}, ()).host_id for _ in range(2))

    assert one == other
    assert len(one) <= 32
    assert host_facts(config, {"AzureFunctionsWebHost__hostid": "mine"}, ()).host_id == "mine"

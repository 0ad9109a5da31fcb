"""Which rules for requests and responses a configuration brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from func_py.config.settings import HttpSettings
from func_py.errors import ConfigError
from func_py.runtime.http_rules import cors_policy, decorators, wrappers
from func_py.supervisor.protocol import ChildSpec


def spec(*cors: str, **environ: str) -> ChildSpec:
    return ChildSpec(app_root=Path(), environ=environ, base_url="http://localhost", cors=cors)


def test_nothing_configured_costs_a_request_nothing() -> None:
    cors = cors_policy(spec())

    assert cors is None
    assert wrappers(HttpSettings(), cors) == []
    assert decorators(HttpSettings(), cors) == []


@pytest.mark.parametrize(
    "child",
    [spec("http://a"), spec(CORS_ALLOWED_ORIGINS='["http://a/"]')],
    ids=["command line", "environment"],
)
def test_origins_come_from_the_command_line_or_the_environment(child: ChildSpec) -> None:
    cors = cors_policy(child)

    assert cors is not None
    assert len(wrappers(HttpSettings(), cors)) == len(decorators(HttpSettings(), cors)) == 1


@pytest.mark.parametrize("text", ["http://a", '{"a": 1}', "[1]"])
def test_origins_of_the_environment_are_a_json_list(text: str) -> None:
    with pytest.raises(ConfigError, match="CORS_ALLOWED_ORIGINS: expected a JSON list"):
        cors_policy(spec(CORS_ALLOWED_ORIGINS=text))

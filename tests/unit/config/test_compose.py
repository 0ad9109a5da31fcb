"""docker-compose.yml: what each host is given leads to the store that its profile is named for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from func_py.config.host_json import load_host_config
from func_py.config.provider_choice import choose_provider
from func_py.durable.storage.registry import known_providers

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((_ROOT / "docker-compose.yml").read_text())


@pytest.mark.parametrize(
    ("service", "provider"),
    [
        ("func-py", "sqlite"),
        ("func-py-postgres", "postgres"),
        ("func-py-postgres-2", "postgres"),
        ("func-py-azurite", "AzureStorage"),
    ],
)
def test_each_host_has_the_task_hub_of_its_profile(
    compose: Any, service: str, provider: str, tmp_path: Path
) -> None:
    host = compose["services"][service]
    text = (_ROOT / "host.json").read_text()
    for config in host.get("configs", ()):
        assert config["target"] == "/home/app/site/host.json"
        text = compose["configs"][config["source"]]["content"]
    (tmp_path / "host.json").write_text(text)
    settings = host.get("environment", {})
    config = load_host_config(tmp_path, settings)
    storage = config.durable.storage_provider
    assert choose_provider(storage, known_providers()) == provider
    if provider == "postgres":
        assert storage.connection_string_name in settings

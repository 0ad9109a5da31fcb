"""Which task hub a place means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from func_py.errors import UserError
from func_py.hub_client import HubPlace
from func_py.hub_client.place import hub_config


class Silence:
    def tell(self, text: str) -> None:
        raise AssertionError(text)

    remark = tell


def write_app(root: Path, storage_provider: dict[str, str], **values: str) -> None:
    durable = {"hubName": "%MY_HUB%", "storageProvider": storage_provider}
    content = {"version": "2.0", "extensions": {"durableTask": durable}}
    (root / "host.json").write_text(json.dumps(content))
    settings = {"Values": {"MY_HUB": "FromSettings", **values}}
    (root / "local.settings.json").write_text(json.dumps(settings))


def test_an_app_says_its_hub_as_it_does_to_a_host(tmp_path: Path) -> None:
    write_app(tmp_path, {"path": "state"}, FUNC_PY_STATE_DIR=str(tmp_path / "elsewhere"))

    config = hub_config(HubPlace(app_root=tmp_path), Silence())

    assert config.durable.hub_name == "FromSettings"
    assert config.state_dir == tmp_path / "elsewhere"


def test_a_place_can_name_another_hub(tmp_path: Path) -> None:
    write_app(tmp_path, {})

    config = hub_config(HubPlace(app_root=tmp_path, task_hub="Other"), Silence())

    assert config.durable.hub_name == "Other"


@pytest.mark.parametrize(
    ("kind", "key"), [("AzureStorage", "connectionName"), ("postgres", "connectionStringName")]
)
def test_a_place_can_name_the_connection_of_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    monkeypatch.setattr(
        "func_py.hub_client.place.known_providers", lambda: ["AzureStorage", "postgres", "sqlite"]
    )
    write_app(tmp_path, {"type": kind, key: "First"})

    config = hub_config(HubPlace(app_root=tmp_path, connection_setting="Second"), Silence())

    assert config.storage_options == {"type": kind, key: "Second"}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"doesn't exist, or is not a folder\."):
        hub_config(HubPlace(app_root=tmp_path / "nothing"), Silence())

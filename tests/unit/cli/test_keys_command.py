"""`func-py keys`: what it prints and what it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from func_py import cli
from func_py.errors import UserError
from func_py.keys import HOST, MASTER, SYSTEM, KeyStore, of_function

Keys = Callable[..., Result]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Runs the command for the app in the test's folder."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.commands, ["keys", *arguments, "--app-root", str(tmp_path)])

    return run


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / ".func-py" / "keys")


def test_all_keys_are_listed_with_their_scope(keys: Keys, store: KeyStore) -> None:
    store.put(of_function("Hello"), "default", "f")

    lines = [line.split() for line in keys("list").output.splitlines()]

    assert lines == [
        ["host", "default", store.keys(HOST)["default"]],
        ["system", "_master", store.master()],
        ["function", "'hello'", "default", "f"],
    ]


def test_one_scope_can_be_listed_alone(keys: Keys, store: KeyStore) -> None:
    store.put(of_function("Hello"), "default", "f")

    assert keys("list", "-f", "Hello").output.split() == ["function", "'Hello'", "default", "f"]
    assert keys("list", "--system").output.split() == ["system", "_master", store.master()]


def test_a_key_is_set_shown_rotated_and_deleted(keys: Keys, store: KeyStore) -> None:
    assert keys("set", "mine", "v").output == "Created the host key 'mine'.\n"
    assert keys("show", "mine").output == "v\n"
    assert keys("set", "mine", "w").output == "Replaced the host key 'mine'.\n"
    rotated = keys("rotate", "mine").output.strip()
    assert rotated == store.get(HOST, "mine")
    assert rotated != "w"
    assert keys("delete", "mine").output == "Deleted the host key 'mine'.\n"
    assert store.get(HOST, "mine") is None


def test_the_master_key_can_be_rotated(keys: Keys, store: KeyStore) -> None:
    before = store.master()

    assert keys("rotate", MASTER, "--system").output.strip() == store.get(SYSTEM, MASTER) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nobody"), "There is no host key 'nobody'."),
        (("delete", "nobody", "--system"), "There is no system key 'nobody'."),
        (("delete", MASTER, "--system"), "Cannot delete System Key."),
        (("show", "default", "-f", "../x"), "'../x' is not a valid function name."),
        (("set", "a", ""), "A key needs a value."),
    ],
)
def test_what_cannot_be_done_is_one_line(
    keys: Keys, arguments: tuple[str, ...], message: str
) -> None:
    result = keys(*arguments)

    assert isinstance(result.exception, UserError)
    assert str(result.exception) == message


def test_two_scopes_at_once_are_a_usage_error(keys: Keys) -> None:
    assert keys("list", "--system", "-f", "Hello").exit_code == 2


def test_settings_of_the_app_say_where_its_keys_are(keys: Keys, tmp_path: Path) -> None:
    settings = {"Values": {"FUNC_PY_STATE_DIR": str(tmp_path / "elsewhere")}}
    (tmp_path / "local.settings.json").write_text(json.dumps(settings))

    keys("set", "mine", "v")

    assert KeyStore(tmp_path / "elsewhere" / "keys").get(HOST, "mine") == "v"

"""The key files: what they hold, who may read them, and several writers."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from func_py.errors import ConfigError, UserError
from func_py.keys import DEFAULT, HOST, MASTER, SYSTEM, KeyStore, Scope, of_function

SCOPES = [HOST, SYSTEM, of_function("Hello")]


def test_keys_are_made_on_first_use_and_stay(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    keys = [store.master(), store.keys(HOST)[DEFAULT], store.keys(of_function("Hello"))[DEFAULT]]

    assert all(len(key) >= 40 and key.isascii() for key in keys)
    assert len(set(keys)) == 3
    again = KeyStore(tmp_path / "keys")
    assert again.master() == keys[0]
    assert again.keys(of_function("HELLO")) == {DEFAULT: keys[2]}


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.master()

    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "host.json").stat().st_mode) == 0o600


def test_files_of_the_official_host_are_understood_and_kept(tmp_path: Path) -> None:
    def entry(name: str) -> dict[str, object]:
        return {"name": name, "value": f"{name}-value", "encrypted": False}

    content = {
        "masterKey": entry("master"),
        "functionKeys": [entry("default")],
        "systemKeys": [entry("durabletask_extension")],
        "hostName": None,
        "instanceId": "7",
        "source": "runtime",
    }
    (tmp_path / "host.json").write_text(json.dumps(content))
    store = KeyStore(tmp_path)

    assert store.master() == "master-value"
    assert store.keys(SYSTEM) == {"durabletask_extension": "durabletask_extension-value"}

    store.put(HOST, "other", "x")

    written = json.loads((tmp_path / "host.json").read_text())
    assert written.pop("functionKeys") == [
        entry("default"),
        {"name": "other", "value": "x", "encrypted": False},
    ]
    assert written == {k: v for k, v in content.items() if k != "functionKeys"}


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_key_is_created_replaced_and_deleted(tmp_path: Path, scope: Scope) -> None:
    store = KeyStore(tmp_path)

    value, created = store.put(scope, "mine")
    assert (created, store.get(scope, "MINE")) == (True, value)
    assert store.put(scope, "Mine", "v") == ("v", False)
    assert store.keys(scope)["mine"] == "v"
    assert store.delete(scope, "mine")
    assert not store.delete(scope, "mine")
    assert store.get(scope, "mine") is None


def test_the_master_key_can_be_replaced_but_is_neither_listed_nor_deleted(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)

    assert store.put(SYSTEM, MASTER, "m") == ("m", False)
    assert (store.master(), store.get(SYSTEM, MASTER)) == ("m", "m")
    assert store.keys(SYSTEM) == {}
    with pytest.raises(UserError, match="Cannot delete System Key"):
        store.delete(SYSTEM, MASTER)


def test_what_another_process_writes_is_seen(tmp_path: Path) -> None:
    ours, theirs = KeyStore(tmp_path), KeyStore(tmp_path)
    ours.put(HOST, "a", "1")

    theirs.put(HOST, "a", "2")

    assert ours.get(HOST, "a") == "2"


def test_a_key_that_is_ensured_by_two_is_made_once(tmp_path: Path) -> None:
    assert KeyStore(tmp_path).ensure(SYSTEM, "x") == KeyStore(tmp_path).ensure(SYSTEM, "x")


_PUT_SOME = """
import sys
from pathlib import Path
from func_py.keys import HOST, KeyStore
store = KeyStore(Path(sys.argv[1]))
for number in range(5):
    store.put(HOST, f"{sys.argv[2]}-{number}")
"""


def test_several_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PUT_SOME, str(tmp_path)]
    processes = [subprocess.Popen([*command, writer]) for writer in "abc"]

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(KeyStore(tmp_path).keys(HOST)) == 1 + 3 * 5


@pytest.mark.parametrize("name", ["", "../x", "1a", "host", "a/b"])
def test_what_is_no_function_name_never_becomes_a_file(name: str) -> None:
    with pytest.raises(UserError, match="is not a valid function name"):
        of_function(name)


@pytest.mark.parametrize("name", ["", "a/b", "a\n", "x" * 129])
def test_an_unusable_key_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a valid key name"):
        KeyStore(tmp_path).put(HOST, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("{}", "masterKey: expected a key"),
        (
            '{"masterKey": {"name": "master", "value": "x", "encrypted": true}}',
            "masterKey: encrypted keys cannot be read",
        ),
        (
            '{"masterKey": {"name": "master", "value": ""}}',
            "masterKey: a key must not be empty",
        ),
        (
            '{"masterKey": {"name": "m", "value": "x"}, "functionKeys": [{"name": "a"}]}',
            "functionKeys[0]: expected a key with a name and a value",
        ),
    ],
)
def test_a_file_that_is_no_key_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "host.json").write_text(text)

    with pytest.raises(ConfigError) as raised:
        KeyStore(tmp_path).master()

    assert message in str(raised.value)
    assert str(tmp_path / "host.json") in str(raised.value)


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match=r"keys in .*host\.json cannot be read or written"):
        KeyStore(tmp_path / "file" / "keys").master()

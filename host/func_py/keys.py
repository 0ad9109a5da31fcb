"""The keys that callers of functions and of the admin API show: files that processes share.

The layout is that of the official host's file store: `host.json` with the master key, the keys for
every function and the system keys, and `<function>.json` with those of one function. So keys can be
brought along. Imports only the standard library: the command line works on the same files.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from func_py.config.jsonc import read_json_object
from func_py.errors import ConfigError, UserError

MASTER = "_master"
"""The master key's name among the system keys; it is not listed with them."""
DEFAULT = "default"

_HOST_FILE = "host.json"
_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_KEY_NAME = re.compile(r"[^\x00-\x1f/]{1,128}")
_KEY_BYTES = 40
_Document = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key opens: all functions, one function, or a part of the host."""

    kind: Literal["host", "system", "function"]
    function: str = ""

    def __str__(self) -> str:
        return f"function '{self.function}'" if self.function else self.kind


HOST = Scope("host")
"""Keys that open every function."""
SYSTEM = Scope("system")
"""Keys that open webhooks, and the master key, which opens everything."""


def of_function(name: str) -> Scope:
    """The scope of one function's keys; raises UserError for what is no function name."""
    if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
        raise UserError(f"'{name}' is not a valid function name.")
    return Scope("function", name)


def keys_directory(state_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where an app's keys are: in the state directory, or where `FUNCTIONS_SECRETS_PATH` says."""
    return state_dir / (environ.get("FUNCTIONS_SECRETS_PATH") or "keys")


class KeyStore:
    """Keys in one directory, made on first use. Safe with several processes and threads.

    Reading costs a look at the file's date while nothing changes; what another process writes is
    seen by the next call. Writes are atomic and on disk when a call returns.

    Args:
        directory: Made when it does not exist, for its owner alone.

    Raises:
        UserError: From every method: the files cannot be read or written, or a name cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, tuple[tuple[int, ...], _Document]] = {}
        self._mutex = threading.Lock()

    def keys(self, scope: Scope) -> dict[str, str]:
        """Name → value of every key of a scope, without the master key."""
        return {entry["name"]: entry["value"] for entry in self._document(scope)[_list(scope)]}

    def master(self) -> str:
        """The master key."""
        return str(self._document(SYSTEM)["masterKey"]["value"])

    def get(self, scope: Scope, name: str) -> str | None:
        """The value of a key, its name in any case, or None."""
        if _is_master(scope, name):
            return self.master()
        keys = self.keys(scope)
        return next((value for key, value in keys.items() if key.lower() == name.lower()), None)

    def functions(self) -> list[str]:
        """Names of the functions that have keys, in lower case, sorted."""
        try:
            names = [entry.stem for entry in self._directory.glob("*.json")]
        except OSError as exc:
            raise _unusable(self._directory, exc) from exc
        return sorted(name for name in names if name != Path(_HOST_FILE).stem)

    def put(self, scope: Scope, name: str, value: str = "") -> tuple[str, bool]:
        """Create or replace a key.

        Args:
            scope: What the key opens.
            name: Its name.
            value: Its value; a random one when empty.

        Returns:
            The value, and whether the key is new.
        """
        if not _KEY_NAME.fullmatch(name):
            raise UserError(f"'{name}' is not a valid key name.")
        value = value or _random_key()

        def change(document: _Document) -> bool:
            if _is_master(scope, name):
                document["masterKey"] = _entry("master", value)
                return False
            entry = _find(document[_list(scope)], name)
            if entry is None:
                document[_list(scope)].append(_entry(name, value))
                return True
            entry.update(value=value, encrypted=False)
            return False

        return value, self._change(scope, change)

    def ensure(self, scope: Scope, name: str) -> str:
        """The value of a key, which is made when it does not exist."""
        found = self.get(scope, name)
        if found is not None:
            return found

        def change(document: _Document) -> str:
            # Looked at again under the lock: two processes start at once.
            entry = _find(document[_list(scope)], name)
            if entry is None:
                entry = _entry(name, _random_key())
                document[_list(scope)].append(entry)
            return str(entry["value"])

        return self._change(scope, change)

    def delete(self, scope: Scope, name: str) -> bool:
        """Delete a key; False when there is none.

        Raises:
            UserError: The master key cannot be deleted.
        """
        if _is_master(scope, name):
            raise UserError("Cannot delete System Key.")

        def change(document: _Document) -> bool:
            entry = _find(document[_list(scope)], name)
            if entry is not None:
                document[_list(scope)].remove(entry)
            return entry is not None

        return self._change(scope, change)

    def _document(self, scope: Scope) -> _Document:
        path = self._path(scope)
        try:
            status = path.stat()
        except FileNotFoundError:
            return self._change(scope, lambda document: document)
        except OSError as exc:
            raise _unusable(path, exc) from exc
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        cached = self._read.get(path)
        if cached is None or cached[0] != version:
            cached = self._read[path] = (version, _load(path, scope))
        return cached[1]

    def _change(self, scope: Scope, change: Callable[[_Document], T]) -> T:
        """Read, change and write one file while nobody else does."""
        path = self._path(scope)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._mutex, _locked(self._directory / ".lock"):
                document = _load(path, scope) if path.exists() else _new_document(scope)
                result = change(document)
                _write(path, json.dumps(document, indent=2) + "\n")
        except OSError as exc:
            raise _unusable(path, exc) from exc
        return result

    def _path(self, scope: Scope) -> Path:
        name = f"{scope.function.lower()}.json" if scope.kind == "function" else _HOST_FILE
        return self._directory / name


def _list(scope: Scope) -> str:
    return {"host": "functionKeys", "system": "systemKeys", "function": "keys"}[scope.kind]


def _is_master(scope: Scope, name: str) -> bool:
    return scope == SYSTEM and name.lower() == MASTER


def _find(entries: list[_Document], name: str) -> _Document | None:
    return next((entry for entry in entries if entry["name"].lower() == name.lower()), None)


def _random_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _entry(name: str, value: str) -> _Document:
    return {"name": name, "value": value, "encrypted": False}


def _new_document(scope: Scope) -> _Document:
    if scope.kind == "function":
        return {"keys": [_entry(DEFAULT, _random_key())]}
    return {
        "masterKey": _entry("master", _random_key()),
        "functionKeys": [_entry(DEFAULT, _random_key())],
        "systemKeys": [],
    }


def _load(path: Path, scope: Scope) -> _Document:
    document: _Document = dict(read_json_object(path, str(path)))
    if scope.kind == "function":
        sections = ["keys"]
    else:
        sections = ["functionKeys", "systemKeys"]
        _check(path, "masterKey", document.get("masterKey"))
    for section in sections:
        entries = document.setdefault(section, [])
        if not isinstance(entries, list):
            raise ConfigError(str(path), section, "expected a list of keys")
        for index, entry in enumerate(entries):
            _check(path, f"{section}[{index}]", entry)
    return document


def _check(path: Path, where: str, entry: object) -> None:
    if not isinstance(entry, Mapping):
        raise ConfigError(str(path), where, "expected a key")
    if entry.get("encrypted"):
        raise ConfigError(str(path), where, "encrypted keys cannot be read")
    if not (isinstance(entry.get("name"), str) and isinstance(entry.get("value"), str)):
        raise ConfigError(str(path), where, "expected a key with a name and a value")
    if not entry["value"]:
        raise ConfigError(str(path), where, "a key must not be empty")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Not `flock`: a process that user code forks would keep that lock.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """Replace a file so that readers and a power cut see the old content or the new one."""
    # One name is enough: writers hold the lock, and one that died left a file nobody reads.
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unusable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"The keys in {path} cannot be read or written: {error.strerror}. "
        "Set FUNC_PY_STATE_DIR to a folder that can be written."
    )

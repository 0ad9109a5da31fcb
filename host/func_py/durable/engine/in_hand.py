"""Finds the work that kills processes: notes what a host has in hand where a `kill -9` leaves it.

A host notes the turn it runs and the activity calls in hand in a mapped file of its own. The kernel
keeps the pages of a killed process, so a note needs no commit, no fsync and no system call. A clean
exit removes the file; what another host finds there belonged to a host that died. This module only
counts: who is quarantined, and how, is the engine's business.

The directory holds one file per living host, named by its id, `blame.json` while anything is
blamed, and `lock`. A host's file is a header and records of 256 bytes: one length byte, then the
key. Record 0 is the turn, the others are activity calls; length 0 is a free record.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import mmap
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from func_py.durable.storage.base import TaskKey

log = logging.getLogger("func_py.durable.engine")

DEATHS_TO_BLAME = 3
"""Unclean deaths in a row, with the same work in hand, that condemn it."""

_MAGIC = b"func-py in hand 1\n".ljust(32, b"\0")
_RECORD = struct.Struct("256p")
_TURN = len(_MAGIC)
_LONGEST = _RECORD.size - 1
_BLAME = "blame.json"
_NEW_BLAME = "blame.json.new"
_LOCK = "lock"
_NOT_HOSTS = frozenset({_BLAME, _NEW_BLAME, _LOCK})


class InHand:
    """What this process has in hand. Use it from one thread; a note costs about a microsecond."""

    def __init__(self, path: Path, file: int, notes: mmap.mmap, activities: int) -> None:
        """Use `open`."""
        self._path = path
        self._file = file
        """Kept for its lock, which ends with the first descriptor of the file that is closed."""
        self._notes: mmap.mmap | bytearray = notes
        first = _TURN + _RECORD.size
        self._free = [first + n * _RECORD.size for n in reversed(range(activities))]

    @classmethod
    def open(cls, directory: Path, host_id: str, *, activities: int) -> InHand:
        """Create the file of this host; the directory too, when it is missing.

        Args:
            directory: Shared by the hosts of one task hub on this machine.
            host_id: Never used before in this directory; becomes the file's name.
            activities: How many calls can be noted at once.

        Raises:
            OSError: The directory cannot be written, or its file system has no locks.
        """
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / host_id
        # Locked: an examiner must not see the file before it holds the lock that shows us alive.
        with _locked(directory):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                # Not flock: a process that user code forked would keep it after our death.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = _TURN + (1 + activities) * _RECORD.size
                with os.fdopen(file, "wb", closefd=False) as whole:
                    # Real zeros: in a sparse file on a full disk a note would end in SIGBUS.
                    whole.write(_MAGIC.ljust(size, b"\0"))
                notes = mmap.mmap(file, size)
            except BaseException:
                path.unlink()
                os.close(file)
                raise
        return cls(path, file, notes, activities)

    def begin_turn(self, instance_id: str, execution_id: str) -> None:
        """Note the turn that runs now, instead of any other."""
        _RECORD.pack_into(self._notes, _TURN, _turn_key(instance_id, execution_id))

    def end_turn(self) -> None:
        """User code of the turn has returned."""
        self._notes[_TURN] = 0

    def begin_activity(self, key: TaskKey) -> int:
        """Note a call that is about to run; returns the handle for `end_activity`.

        When all records are taken the call is not noted and the handle is 0.
        """
        if not self._free:
            return 0
        handle = self._free.pop()
        _RECORD.pack_into(self._notes, handle, _activity_key(key))
        return handle

    def end_activity(self, handle: int) -> None:
        """The call has returned, or was cancelled."""
        if handle:
            self._notes[handle] = 0
            self._free.append(handle)

    def close(self) -> None:
        """Remove the file; idempotent. Calls that still run may begin and end, unnoted.

        For a clean exit, and already when the host was asked to stop: what kills it from then on is
        somebody's patience, not its work.
        """
        notes = self._notes
        if isinstance(notes, bytearray):
            return
        self._notes = bytearray(len(notes))
        self._path.unlink(missing_ok=True)
        notes.close()
        os.close(self._file)


class Blame:
    """What was in hand at the latest unclean deaths, and at how many in a row, as of `examine`.

    Questions cost next to nothing while nobody is blamed.
    """

    def __init__(self, directory: Path, deaths: dict[bytes, int]) -> None:
        """Use `examine`."""
        self._directory = directory
        self._deaths = deaths

    def condemns_turn(self, instance_id: str, execution_id: str) -> bool:
        """Must this execution be quarantined unrun? True from the third unclean death on."""
        return (
            bool(self._deaths)
            and self._count(_turn_key(instance_id, execution_id)) >= DEATHS_TO_BLAME
        )

    def condemns_activity(self, key: TaskKey) -> bool:
        """Must this call be quarantined unrun? True from the third unclean death on."""
        return bool(self._deaths) and self._count(_activity_key(key)) >= DEATHS_TO_BLAME

    def suspects_activity(self, key: TaskKey) -> bool:
        """Was this call in hand at the latest unclean death? True from the first on.

        Calls die in company. Run suspects one at a time: the next death then has one of them in
        hand, and the others start over.
        """
        return bool(self._deaths) and self._count(_activity_key(key)) > 0

    def clear_turn(self, instance_id: str, execution_id: str) -> None:
        """A turn of this execution went well, or its quarantine is stored."""
        if self._deaths:
            self._clear(_turn_key(instance_id, execution_id))

    def clear_activity(self, key: TaskKey) -> None:
        """This call went well, or its quarantine is stored."""
        if self._deaths:
            self._clear(_activity_key(key))

    def _count(self, key: bytes) -> int:
        return self._deaths.get(key, 0)

    def _clear(self, key: bytes) -> None:
        if self._deaths.pop(key, None) is None:
            return
        try:
            with _locked(self._directory):
                # Read again: other hosts may have examined and cleared meanwhile.
                stored = _load(self._directory)
                if stored.pop(key, None) is not None:
                    _store(self._directory, stored)
        except OSError as error:
            # Its count stays until the next unclean death that it has no part in.
            log.warning("'%s' cannot be updated: %s", self._directory / _BLAME, error)


def examine(directory: Path, live_hosts: Collection[str]) -> Blame:
    """Count the unclean deaths since the last examination, and remove their traces.

    The files found are one occasion: a key is counted once per file it is in, and what is in none
    of them starts over. (Had each file an order, a group of hosts killed together would acquit its
    own poison.) A host that died with nothing in hand makes everybody start over. Files that are
    not ours stay; a record that a kill tore names nobody. Safe when several hosts do it at once.

    Args:
        directory: That of `InHand.open`; may be missing.
        live_hosts: Ids of hosts that live. Those of this process must be among them, for they
            cannot be told by their locks; others are found alive also when they are missing.

    Raises:
        OSError: The directory cannot be written; every file is still there for the next attempt.
    """
    if not directory.is_dir():
        return Blame(directory, {})
    with _locked(directory):
        deaths = _load(directory)
        found: Counter[bytes] = Counter()
        dead: list[Path] = []
        for path in directory.iterdir():
            if path.name in _NOT_HOSTS or path.name in live_hosts:
                continue
            keys = _last_words(path)
            if keys is not None:
                found.update(keys)
                dead.append(path)
        if dead:
            deaths = {key: deaths.get(key, 0) + count for key, count in found.items()}
            # Before the files go: if this fails nothing is lost.
            _store(directory, deaths)
            for path in dead:
                path.unlink(missing_ok=True)
    return Blame(directory, deaths)


def _turn_key(instance_id: str, execution_id: str) -> bytes:
    return _key("turn", execution_id, instance_id)


def _activity_key(key: TaskKey) -> bytes:
    return _key(key.task_id, key.execution_id, key.instance_id)


def _key(kind: int | str, execution_id: str, instance_id: str) -> bytes:
    """At most 255 bytes, unique whatever the ids hold: hence the length in front."""
    text = f"{kind} {len(execution_id)} {execution_id} {instance_id}"
    key = text.encode("utf-8", "surrogatepass")
    if len(key) <= _LONGEST:
        return key
    return f"{kind} # {hashlib.blake2b(key, digest_size=32).hexdigest()}".encode()


def _last_words(path: Path) -> set[bytes] | None:
    """What the dead host had in hand; None when it lives, or the file is not a host's."""
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = file.read()
    except OSError:
        return None
    if not data.startswith(_MAGIC):
        return None
    starts = range(_TURN, len(data) - _LONGEST, _RECORD.size)
    keys: set[bytes] = {_RECORD.unpack_from(data, start)[0] for start in starts}
    return {key for key in keys if key and _is_text(key)}


def _is_text(key: bytes) -> bool:
    try:
        key.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _load(directory: Path) -> dict[bytes, int]:
    """The stored counts; none when the file is missing or was damaged."""
    try:
        stored = json.loads((directory / _BLAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {
        key.encode("utf-8", "surrogatepass"): count
        for key, count in stored.items()
        if isinstance(count, int)
    }


def _store(directory: Path, deaths: dict[bytes, int]) -> None:
    """Replace the stored counts; not synced: lost in a power cut, it costs one more death."""
    if not deaths:
        (directory / _BLAME).unlink(missing_ok=True)
        return
    new = directory / _NEW_BLAME
    by_text = {key.decode("utf-8", "surrogatepass"): count for key, count in deaths.items()}
    new.write_text(json.dumps(by_text, indent=1), encoding="ascii")
    new.replace(directory / _BLAME)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other hosts, and other threads, off the directory; waits for them."""
    file = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Not left to the closing: a process forked meanwhile has the file open, too.
            fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)

"""Work that was in hand when a process died is found, counted and condemned at the third death."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from func_py.durable.engine.in_hand import InHand, examine
from func_py.durable.storage.base import TaskKey

CALL = TaskKey("order-17", "e1", 3)
OTHER = TaskKey("order-17", "e1", 4)


def child(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own, which never comes back; returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die(directory: Path, host_id: str, *in_hand: TaskKey | tuple[str, str]) -> None:
    """Let a real host process be killed with these turns (pairs) and calls in hand."""

    def work() -> None:
        notes = InHand.open(directory, host_id, activities=4)
        for item in in_hand:
            if isinstance(item, TaskKey):
                notes.begin_activity(item)
            else:
                notes.begin_turn(*item)
        kill_self()

    _, status = os.waitpid(child(work), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@contextmanager
def living_host(directory: Path, host_id: str) -> Iterator[None]:
    """A host process with `CALL` in hand that lives for the time of the block."""
    ready, tell_ready = os.pipe()

    def work() -> None:
        notes = InHand.open(directory, host_id, activities=4)
        notes.begin_activity(CALL)
        os.write(tell_ready, b".")
        signal.pause()

    pid = child(work)
    try:
        os.close(tell_ready)
        assert os.read(ready, 1) == b"."
        yield
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hosts(directory: Path) -> list[str]:
    """The files in the directory, but for the lock."""
    return sorted(path.name for path in directory.iterdir() if path.name != "lock")


def counts(directory: Path) -> list[int]:
    """Deaths of everything blamed."""
    return list(json.loads((directory / "blame.json").read_bytes()).values())


# ---- what is found -------------------------------------------------------------------------


def test_call_in_hand_of_a_killed_process_is_suspected(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL)
    blame = examine(tmp_path, ())
    assert blame.suspects_activity(CALL)
    assert not blame.suspects_activity(OTHER)


def test_turn_in_hand_is_condemned_at_the_third_death(tmp_path: Path) -> None:
    verdicts = []
    for host_id in ("h1", "h2", "h3"):
        die(tmp_path, host_id, ("order-17", "e1"))
        verdicts.append(examine(tmp_path, ()).condemns_turn("order-17", "e1"))
    assert verdicts == [False, False, True]


def test_call_in_hand_is_condemned_at_the_third_death(tmp_path: Path) -> None:
    verdicts = []
    for host_id in ("h1", "h2", "h3"):
        die(tmp_path, host_id, CALL, OTHER)
        verdicts.append(examine(tmp_path, ()).condemns_activity(CALL))
    assert verdicts == [False, False, True]


def test_deaths_examined_together_count_each(tmp_path: Path) -> None:
    for host_id in ("h1", "h2", "h3"):
        die(tmp_path, host_id, CALL)
    assert examine(tmp_path, ()).condemns_activity(CALL)


def test_what_had_ended_before_the_death_is_not_blamed(tmp_path: Path) -> None:
    def work() -> None:
        notes = InHand.open(tmp_path, "h1", activities=4)
        notes.begin_turn("order-17", "e1")
        notes.end_turn()
        first = notes.begin_activity(CALL)
        notes.begin_activity(OTHER)
        notes.end_activity(first)
        kill_self()

    os.waitpid(child(work), 0)
    assert examine(tmp_path, ()).suspects_activity(OTHER)
    assert counts(tmp_path) == [1]


def test_process_killed_at_any_moment_of_a_note_leaves_a_legible_file(tmp_path: Path) -> None:
    """The kill comes from outside, in the middle of a loop that does nothing but note."""
    ready, tell_ready = os.pipe()

    def work() -> None:
        notes = InHand.open(tmp_path, "h1", activities=1)
        notes.begin_activity(CALL)
        os.write(tell_ready, b".")
        while True:
            notes.begin_turn("x" * 40, "e")
            notes.end_turn()

    pid = child(work)
    os.close(tell_ready)
    os.read(ready, 1)
    os.close(ready)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert examine(tmp_path, ()).suspects_activity(CALL)
    assert hosts(tmp_path) == ["blame.json"]


@pytest.mark.parametrize(
    "instance_id",
    ["o" * 100, "o" * 5000, "ö\N{SNOWMAN}" * 60, "\ud800", " 1 e1 ", ""],
    ids=["long", "longer", "wide", "surrogate", "spaces", "empty"],
)
def test_ids_of_any_shape_are_recognised(tmp_path: Path, instance_id: str) -> None:
    key = TaskKey(instance_id, "e1", 3)
    for host_id in ("h1", "h2", "h3"):
        die(tmp_path, host_id, key, (instance_id, "e1"))
        examine(tmp_path, ())
    blame = examine(tmp_path, ())
    assert blame.condemns_activity(key)
    assert blame.condemns_turn(instance_id, "e1")


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (TaskKey("a", "e 1", 3), TaskKey("1 a", "e", 3)),
        (TaskKey("a" * 500 + "x", "e", 3), TaskKey("a" * 500 + "y", "e", 3)),
        (TaskKey("a", "e", 3), TaskKey("a", "e", 33)),
    ],
    ids=["separator", "only the end differs", "task"],
)
def test_two_calls_are_never_taken_for_each_other(
    tmp_path: Path, one: TaskKey, another: TaskKey
) -> None:
    die(tmp_path, "h1", one)
    assert not examine(tmp_path, ()).suspects_activity(another)


# ---- who starts over -----------------------------------------------------------------------


def test_what_was_not_in_hand_at_a_later_death_starts_over(tmp_path: Path) -> None:
    for host_id, key in (("h1", CALL), ("h2", CALL), ("h3", OTHER), ("h4", CALL), ("h5", CALL)):
        die(tmp_path, host_id, key)
        examine(tmp_path, ())
    assert not examine(tmp_path, ()).condemns_activity(CALL)


def test_death_with_nothing_in_hand_makes_everybody_start_over(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL)
    examine(tmp_path, ())
    die(tmp_path, "h2")
    assert not examine(tmp_path, ()).suspects_activity(CALL)
    assert hosts(tmp_path) == []


def test_idle_hosts_killed_along_with_the_poisoned_one_do_not_acquit_it(tmp_path: Path) -> None:
    for round_ in ("1", "2", "3"):
        die(tmp_path, "a" + round_)
        die(tmp_path, "b" + round_, CALL)
        die(tmp_path, "c" + round_)
        examine(tmp_path, ())
    assert examine(tmp_path, ()).condemns_activity(CALL)


def test_examining_without_a_death_changes_nothing(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL)
    examine(tmp_path, ())
    examine(tmp_path, ())
    assert examine(tmp_path, ()).suspects_activity(CALL)


def test_cleared_work_is_forgotten_by_every_host(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL, OTHER, ("order-17", "e1"))
    mine, theirs = examine(tmp_path, ()), examine(tmp_path, ())
    mine.clear_activity(CALL)
    theirs.clear_turn("order-17", "e1")
    later = examine(tmp_path, ())
    assert not mine.suspects_activity(CALL)
    assert not later.suspects_activity(CALL)
    assert later.suspects_activity(OTHER)
    later.clear_activity(OTHER)
    assert hosts(tmp_path) == []


def test_clearing_what_nobody_blamed_touches_no_file(tmp_path: Path) -> None:
    blame = examine(tmp_path / "missing", ())
    blame.clear_activity(CALL)
    blame.clear_turn("order-17", "e1")
    assert not (tmp_path / "missing").exists()


def test_clearing_goes_on_when_the_directory_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "hub.hand"
    die(directory, "h1", CALL)
    blame = examine(directory, ())
    directory.rename(tmp_path / "elsewhere")
    blame.clear_activity(CALL)
    assert not blame.suspects_activity(CALL)
    assert "cannot be updated" in caplog.text


# ---- who is alive --------------------------------------------------------------------------


def test_files_of_hosts_named_as_live_are_left_alone(tmp_path: Path) -> None:
    notes = InHand.open(tmp_path, "me", activities=1)
    notes.begin_activity(CALL)
    assert not examine(tmp_path, {"me"}).suspects_activity(CALL)
    assert hosts(tmp_path) == ["me"]
    notes.close()


def test_live_host_that_is_not_listed_yet_is_left_alone(tmp_path: Path) -> None:
    with living_host(tmp_path, "new"):
        assert not examine(tmp_path, ()).suspects_activity(CALL)
        assert hosts(tmp_path) == ["new"]


def test_process_forked_by_user_code_does_not_pass_for_its_dead_host(tmp_path: Path) -> None:
    hold, let_go = os.pipe()

    def work() -> None:
        notes = InHand.open(tmp_path, "h1", activities=1)
        notes.begin_activity(CALL)
        os.close(let_go)
        child(lambda: os.read(hold, 1))
        kill_self()

    os.waitpid(child(work), 0)
    os.close(hold)
    blame = examine(tmp_path, ())
    os.close(let_go)
    assert blame.suspects_activity(CALL)


def test_file_of_another_host_is_never_overwritten(tmp_path: Path) -> None:
    notes = InHand.open(tmp_path, "h1", activities=1)
    with pytest.raises(FileExistsError):
        InHand.open(tmp_path, "h1", activities=1)
    assert hosts(tmp_path) == ["h1"]
    notes.close()


# ---- odds and ends -------------------------------------------------------------------------


def test_clean_exit_leaves_no_file(tmp_path: Path) -> None:
    notes = InHand.open(tmp_path / "state" / "hub.hand", "h1", activities=1)
    notes.begin_activity(CALL)
    notes.close()
    notes.close()
    assert hosts(tmp_path / "state" / "hub.hand") == []


def test_work_goes_on_unnoted_after_the_notes_are_closed(tmp_path: Path) -> None:
    notes = InHand.open(tmp_path, "h1", activities=1)
    handle = notes.begin_activity(CALL)
    notes.close()
    notes.end_activity(handle)
    assert notes.begin_activity(OTHER) == handle
    notes.begin_turn("order-17", "e1")
    notes.end_turn()
    assert not examine(tmp_path, ()).suspects_activity(OTHER)


def test_calls_beyond_the_records_are_not_noted(tmp_path: Path) -> None:
    def work() -> None:
        notes = InHand.open(tmp_path, "h1", activities=1)
        notes.begin_activity(CALL)
        notes.end_activity(notes.begin_activity(OTHER))
        kill_self()

    os.waitpid(child(work), 0)
    blame = examine(tmp_path, ())
    assert blame.suspects_activity(CALL)
    assert not blame.suspects_activity(OTHER)


def test_ended_call_makes_room_for_another(tmp_path: Path) -> None:
    notes = InHand.open(tmp_path, "h1", activities=1)
    handle = notes.begin_activity(CALL)
    assert not notes.begin_activity(OTHER)
    notes.end_activity(handle)
    assert notes.begin_activity(OTHER)
    notes.close()


def test_foreign_files_stay_and_count_for_nothing(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL)
    examine(tmp_path, ())
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 9000)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / ".DS_Store")
    assert examine(tmp_path, ()).suspects_activity(CALL)
    assert hosts(tmp_path) == [".DS_Store", "blame.json", "empty", "folder", "link", "pipe"]


def test_torn_records_name_nobody(tmp_path: Path) -> None:
    die(tmp_path, "h1", CALL, OTHER)
    path = tmp_path / "h1"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 2 * 256 - 256 + 1)
        file.write(b"\xff")
        file.truncate(path.stat().st_size - 100)
    blame = examine(tmp_path, ())
    assert [blame.suspects_activity(CALL), blame.suspects_activity(OTHER)] == [True, False]
    assert hosts(tmp_path) == ["blame.json"]


@pytest.mark.parametrize("text", ["", '{"turn 2 e1', "[]", '{"a": "b"}', "\xff"])
def test_damaged_counts_are_started_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "blame.json").write_text(text, encoding="latin-1")
    die(tmp_path, "h1", CALL)
    blame = examine(tmp_path, ())
    assert blame.suspects_activity(CALL)
    assert not blame.condemns_activity(CALL)


def test_two_examiners_at_once_count_a_death_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first is in the middle of it, and waits."""
    for host_id in ("h1", "h2"):
        die(tmp_path, host_id, CALL)
    second_waits = threading.Event()
    verdicts = []

    def second() -> None:
        verdicts.append(examine(tmp_path, ()).condemns_activity(CALL))

    thread = threading.Thread(target=second)
    lock = fcntl.flock

    def flock(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and threading.current_thread() is thread:
            second_waits.set()
        lock(file, operation)

    class Live(set[str]):
        """Asked in the middle of the first examination."""

        def __contains__(self, host_id: object) -> bool:
            if thread.ident is None:
                thread.start()
                assert second_waits.wait(10)
            return False

    monkeypatch.setattr("fcntl.flock", flock)
    assert examine(tmp_path, Live()).suspects_activity(CALL)
    thread.join()
    assert verdicts == [False]
    assert counts(tmp_path) == [2]

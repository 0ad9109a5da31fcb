"""What user code prints."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from func_py.logs import Logs, LogSettings
from func_py.printing import PrintedLines


def printed(*writes: str, flush: bool = False) -> list[str]:
    """What is emitted for texts that are written one after the other."""
    emitted: list[str] = []
    stream = PrintedLines(io.StringIO(), emitted.append)
    for text in writes:
        stream.write(text)
    if flush:
        stream.flush()
    return list(emitted)


def test_lines_are_emitted_when_they_are_complete() -> None:
    assert printed("a", "b\n", "c") == ["ab"]
    assert printed("a\nb\n") == ["a\nb"]
    assert printed("\n") == [""]


def test_flush_emits_a_line_that_has_only_begun() -> None:
    assert printed("a", flush=True) == ["a"]
    assert printed("a\n", flush=True) == ["a"]


def test_lines_of_two_threads_are_not_mixed() -> None:
    emitted: list[str] = []
    stream = PrintedLines(io.StringIO(), emitted.append)
    stream.write("one ")
    thread = threading.Thread(target=stream.write, args=("other\n",))
    thread.start()
    thread.join()
    stream.write("line\n")
    assert emitted == ["other", "one line"]


def test_stream_passes_for_the_console_it_stands_for() -> None:
    with open("/dev/null", "w", encoding="latin-1", errors="replace") as console:
        stream = PrintedLines(console, print)
        assert (stream.encoding, stream.errors, stream.isatty(), stream.writable()) == (
            "latin-1",
            "replace",
            False,
            True,
        )
        assert stream.fileno() == console.fileno()
        assert stream.buffer is console.buffer
        assert stream.name == console.name
        stream.reconfigure(line_buffering=True)


def logged(
    monkeypatch: pytest.MonkeyPatch, levels: dict[str, str] | None = None, *, is_muted: bool = False
) -> list[str]:
    """The lines on a console after something was printed below an installed log."""
    console = io.StringIO()
    monkeypatch.setattr(sys, "stdout", console)
    logs = Logs(LogSettings(console=console, levels=levels or {}))
    logs.install(lambda: None, lambda: is_muted)
    sys.stdout.write("printed\nunfinished")
    logs.close()
    assert sys.stdout is console
    return console.getvalue().splitlines()


def test_log_stamps_what_is_printed_and_keeps_an_unfinished_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = logged(monkeypatch)
    assert [line.partition("Z] ")[2] for line in lines] == ["printed", "unfinished"]


def test_log_level_of_the_console_category_hides_what_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert logged(monkeypatch, {"Host.Function.Console": "Warning"}) == []


def test_what_code_prints_while_it_is_muted_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged(monkeypatch, is_muted=True) == []

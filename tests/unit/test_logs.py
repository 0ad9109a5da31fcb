"""The log: one line each, in order, nothing lost."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from func_py.logs import Logs, LogSettings, LogWriter, Sink, user_traceback
from func_py_bindings.route_template import RouteTemplate


class Invocation(NamedTuple):
    """The invocation that user records belong to."""

    function_name: str = "hello"
    invocation_id: str = "id-1"


@pytest.fixture
def make_logs() -> Iterator[Callable[..., tuple[Logs, io.StringIO]]]:
    """Makes an installed log on a console in memory."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    names = ("func_py", "func_py.timers", "func_py_bindings", "aiohttp", "asyncio", "azure")
    levels = {name: logging.getLogger(name).level for name in names}
    made: list[Logs] = []

    def make(
        current: Invocation | None = None, *, is_muted: bool = False, **settings: object
    ) -> tuple[Logs, io.StringIO]:
        console = io.StringIO()
        logs = Logs(LogSettings(console=console, **settings))  # type: ignore[arg-type]
        logs.install(lambda: current, lambda: is_muted)
        made.append(logs)
        return logs, console

    yield make
    for logs in made:
        logs.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


def texts(logs: Logs, console: io.StringIO) -> list[str]:
    """The lines without their stamps."""
    logs.writer.flush()
    return [line.partition("] ")[2] for line in console.getvalue().splitlines()]


def writer_at(moment: float, stream: io.StringIO, **sink: bool) -> LogWriter:
    return LogWriter([Sink(stream, **sink)], now=lambda: moment)


def test_every_physical_line_is_stamped() -> None:
    out = io.StringIO()
    writer = writer_at(1769863696.789, out)
    writer.write("one\ntwo\n")
    writer.close()
    assert out.getvalue() == ("[2026-01-31T12:48:16.789Z] one\n[2026-01-31T12:48:16.789Z] two\n")


def test_lines_keep_their_order() -> None:
    out = io.StringIO()
    writer = writer_at(0, out)
    for number in range(1000):
        writer.write(str(number), logging.ERROR if number % 300 == 0 else logging.INFO)
    writer.close()
    numbers = [int(line.partition("] ")[2]) for line in out.getvalue().splitlines()]
    assert numbers == list(range(1000))


def test_errors_are_written_at_once() -> None:
    out = io.StringIO()
    writer = writer_at(0, out)
    writer.write("before")
    writer.write("bad", logging.ERROR)
    assert out.getvalue().splitlines()[-1].endswith("bad")
    writer.close()


def test_lines_after_close_are_written_at_once() -> None:
    out = io.StringIO()
    writer = writer_at(0, out)
    writer.close()
    writer.write("late")
    assert out.getvalue().endswith("late\n")


def test_colours_mark_warnings_and_errors_only_where_wanted() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    writer = LogWriter([Sink(plain), Sink(coloured, colors=True)], now=lambda: 0)
    writer.write("info")
    writer.write("warning", logging.WARNING)
    writer.close()
    assert "\x1b" not in plain.getvalue()
    assert coloured.getvalue().count("\x1b[33m") == 1


def test_a_closed_terminal_does_not_stop_the_file() -> None:
    console, file = io.StringIO(), io.StringIO()
    writer = LogWriter([Sink(console), Sink(file)], now=lambda: 0)
    console.close()
    writer.write("still here", logging.ERROR)
    writer.close()
    assert file.getvalue().endswith("still here\n")


def test_text_that_the_terminal_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    console = io.TextIOWrapper(raw, encoding="ascii")
    writer = LogWriter([Sink(console)], now=lambda: 0)
    writer.write("caf\u00e9", logging.ERROR)
    writer.close()
    assert raw.getvalue().endswith(b"caf\\xe9\n")


def test_user_records_appear_once_with_their_message(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
) -> None:
    logs, console = make_logs(Invocation())
    logging.getLogger("mine").info("hello %s", "world")
    logging.info("root")
    assert texts(logs, console) == ["hello world", "root"]


def test_file_lines_of_user_code_carry_function_and_invocation(
    make_logs: Callable[..., tuple[Logs, io.StringIO]], tmp_path: Path
) -> None:
    file = tmp_path / "logs" / "host.log"
    logs, _ = make_logs(Invocation(), file=file)
    logging.info("mine")
    logs.info("hello", "host line")
    logs.writer.flush()
    lines = [line.partition("] ")[2] for line in file.read_text().splitlines()]
    assert lines == ["[hello id-1] mine", "host line"]


def test_exception_of_user_code_is_logged_with_its_traceback(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
) -> None:
    logs, console = make_logs(Invocation())
    try:
        raise KeyError("x")
    except KeyError:
        logging.exception("failed")
    lines = texts(logs, console)
    assert lines[:2] == ["failed", "Traceback (most recent call last):"]
    assert lines[-1] == "KeyError: 'x'"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["info", "host line"]),
        ({"debug": True}, ["debug", "info", "host line"]),
        ({"levels": {"default": "Warning"}}, []),
        ({"levels": {"Function": "Error"}}, []),
        ({"levels": {"Function.hello.User": "Debug"}}, ["debug", "info", "host line"]),
        ({"levels": {"default": "None", "Function.hello": "Information"}}, ["info", "host line"]),
        ({"levels": {"Function.hel": "None"}}, ["info", "host line"]),
    ],
)
def test_levels_of_host_json_decide_by_the_longest_prefix(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
    settings: Mapping[str, object],
    expected: list[str],
) -> None:
    logs, console = make_logs(Invocation(), **settings)
    logging.debug("debug")
    logging.info("info")
    logs.info("hello", "host line")
    assert texts(logs, console) == expected


def test_what_code_logs_while_it_is_muted_is_dropped(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
) -> None:
    logs, console = make_logs(is_muted=True)
    logging.getLogger("user").error("again")
    assert texts(logs, console) == []


@pytest.mark.parametrize(
    ("verbose", "expected"), [(False, ["warning"]), (True, ["info", "warning"])]
)
def test_system_loggers_are_quiet_unless_verbose(
    make_logs: Callable[..., tuple[Logs, io.StringIO]], verbose: bool, expected: list[str]
) -> None:
    logs, console = make_logs(verbose=verbose)
    logging.getLogger("func_py.web").info("info")
    logging.getLogger("azure.core.pipeline").warning("warning")
    assert texts(logs, console) == expected


def test_official_category_sets_the_level_of_the_hosts_own_logger(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
) -> None:
    logs, console = make_logs(levels={"Host.Triggers.Timer": "Information"})
    logging.getLogger("func_py.timers.listener").info("next times")
    logging.getLogger("func_py.web").info("hidden")
    assert texts(logs, console) == ["next times"]


def test_closing_gives_the_root_logger_back(
    make_logs: Callable[..., tuple[Logs, io.StringIO]],
) -> None:
    logs, _ = make_logs()
    logs.close()
    assert logging.getLogger().handlers == []


def run(code: str) -> str:
    """Run code in a process of its own; what it wrote to standard output."""
    head = "import logging, os, sys, signal\nfrom func_py.logs import *\n"
    head += "logs = Logs(LogSettings(console=sys.stdout)); logs.install(lambda: None)\n"
    result = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    return result.stdout


def test_nothing_is_lost_at_the_end_of_the_process() -> None:
    assert "last words" in run("logging.info('last words')")


def test_nothing_is_lost_when_user_code_ends_the_process() -> None:
    assert "last words" in run("logging.info('last words'); sys.exit(3)")


def test_forked_process_writes_its_own_lines_and_no_others() -> None:
    out = run("""
        logs.writer._thread = object()  # No thread: what is pending stays pending.
        logging.info('of the parent')
        if os.fork() == 0:
            logging.info('of the child')
            os._exit(0)
        os.wait()
        logs.writer._thread = None
    """)
    assert out.count("of the child") == 1
    assert out.count("of the parent") == 1


def test_traceback_leaves_out_our_frames_also_in_causes() -> None:
    def f() -> None:
        try:
            Logs(LogSettings(file=Path(os.devnull) / "x"))  # Raises in a frame of ours.
        except OSError as exc:
            raise ValueError("outer") from exc

    with pytest.raises(ValueError, match="outer") as caught:
        f()
    text = user_traceback(caught.value)
    assert "logs.py" not in text.replace("test_logs.py", "")
    assert "The above exception was the direct cause" in text
    assert text.endswith("ValueError: outer")


def test_traceback_of_our_frames_only_is_shown_whole() -> None:
    with pytest.raises(ValueError, match="without") as caught:
        RouteTemplate("{")
    error = caught.value
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    assert "route_template.py" in user_traceback(error)


def test_a_json_line_holds_a_whole_record_and_whose_it_is() -> None:
    stream = io.StringIO()
    writer = LogWriter([Sink(stream, as_json=True)], now=lambda: 1.5)
    writer.write("one\ntwo", logging.ERROR, "Hello 123")
    writer.write("three")
    writer.close()

    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "Error",
            "message": "one\ntwo",
            "function": "Hello",
            "invocationId": "123",
        },
        {"time": "1970-01-01T00:00:01.500Z", "level": "Information", "message": "three"},
    ]

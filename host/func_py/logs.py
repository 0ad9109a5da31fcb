"""The log of the running host: lines of the host and records of user code, once each, in order.

Every line goes through one `LogWriter`, which collects lines and writes them in batches from one
thread: a log line costs the caller about a microsecond. Only `Logs` touches the logging module.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
import sysconfig
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

import func_py_bindings
from func_py.errors import StorageError, UserError
from func_py.json_lines import LEVELS, json_line
from func_py.printing import PrintedLines

FLUSH_INTERVAL_S = 0.05
"""How long a line may wait for others before it is written."""
MAX_PENDING = 50_000
"""Lines held at most; then the caller writes, so that a slow terminal slows the host instead of
filling its memory."""

_RED, _YELLOW, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[0m"
_PRINTED = "host.function.console"
_SYSTEM_LOGGERS = ("func_py", "func_py_bindings", "aiohttp", "asyncio", "azure")
_SYSTEM_CATEGORIES = {
    **{name: f"host.{name}" for name in _SYSTEM_LOGGERS},
    "func_py.timers": "host.triggers.timer",
}
"""Loggers of the host, and the categories by which host.json sets their levels."""


class Attribution(Protocol):
    """The invocation that a log record belongs to."""

    @property
    def function_name(self) -> str: ...

    @property
    def invocation_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Sink:
    """One place lines go to. `with_invocation`: user lines carry function name and id. `as_json`:
    each line is a JSON object, for log collectors; a text with line breaks stays one."""

    stream: TextIO
    colors: bool = False
    with_invocation: bool = False
    as_json: bool = False


class LogWriter:
    """Writes lines to sinks in batches, stamped `[2026-01-31T12:34:56.789Z]`. Thread-safe.

    Nothing is lost at a normal exit; a killed process loses at most the last `FLUSH_INTERVAL_S`.
    """

    def __init__(self, sinks: Iterable[Sink], now: Callable[[], float] = time.time) -> None:
        self._sinks = list(sinks)
        self._now = now
        self._pending: deque[tuple[float, int, str, str]] = deque()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._armed = False
        # Reentrant: a signal handler of user code may log an error in the middle of a flush.
        self._write_lock = threading.RLock()
        self._second = -1
        self._prefix = ""
        self._thread: threading.Thread | None = None
        atexit.register(self.close)
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(reference))

    def write(self, text: str, level: int = logging.INFO, tag: str = "") -> None:
        """Add a line, or several when `text` holds line breaks. `tag`: whose line it is."""
        self._pending.append((self._now(), level, text, tag))
        if level >= logging.ERROR or len(self._pending) > MAX_PENDING or self._stop.is_set():
            # An error may be the last thing before a crash.
            self.flush()
        elif not self._armed:
            self._armed = True
            if self._thread is None:
                self._start()
            self._wake.set()

    def flush(self) -> None:
        """Write what is pending now, on the calling thread."""
        with self._write_lock:
            batch = []
            while self._pending:
                batch.append(self._pending.popleft())
            if not batch:
                return
            for sink in list(self._sinks):
                try:
                    text = _json_lines(batch) if sink.as_json else self._format(batch, sink)
                    _write(sink.stream, text)
                except (OSError, ValueError):
                    self._sinks.remove(sink)  # A closed terminal must not stop the host.

    def close(self) -> None:
        """Write everything and stop the thread. Later lines are written at once."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
        self.flush()
        atexit.unregister(self.close)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="func-py-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            self._stop.wait(FLUSH_INTERVAL_S)
            self._armed = False
            self.flush()

    def _format(self, batch: list[tuple[float, int, str, str]], sink: Sink) -> str:
        lines: list[str] = []
        with_invocation, colors = sink.with_invocation, sink.colors
        last, stamp = -1, ""
        for moment, level, text, tag in batch:
            millisecond = int(moment * 1000)
            if millisecond != last:  # A busy host logs many lines in each.
                last, stamp = millisecond, self._stamp(millisecond)
            start = f"{stamp}[{tag}] " if tag and with_invocation else stamp
            if colors and level >= logging.WARNING:
                text = f"{_RED if level >= logging.ERROR else _YELLOW}{text}{_RESET}"
            if "\n" in text:
                lines.extend(f"{start}{line}\n" for line in text.rstrip("\n").split("\n"))
            else:
                lines.append(f"{start}{text}\n")
        return "".join(lines)

    def _stamp(self, millisecond: int) -> str:
        second, rest = divmod(millisecond, 1000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("[%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{rest:03d}Z] "


def _json_lines(batch: Iterable[tuple[float, int, str, str]]) -> str:
    return "".join(json_line(*entry) for entry in batch)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _forget(reference: weakref.ref[LogWriter]) -> None:
    """In a process forked by user code: the parent writes the lines it holds, not the child."""
    writer = reference()
    if writer is not None:
        writer._pending.clear()
        writer._write_lock = threading.RLock()
        writer._thread = None
        writer._stop.set()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the log shows and where.

    `levels`: host.json's `logging.logLevel`, categories to level names. `colors` None: colours
    when the console is a terminal and NO_COLOR is not set. `as_json`: the console gets JSON.
    """

    console: TextIO | None = None
    file: Path | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False
    debug: bool = False
    colors: bool | None = None
    as_json: bool = False


class Logs:
    """The log of one host process. `current` tells which invocation the caller runs in."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._levels = {category.lower(): _level(n) for category, n in settings.levels.items()}
        self._line_levels: dict[str, int] = {}
        self._user_levels: dict[str, int] = {}
        self._file: TextIO | None = None
        sinks = []
        if settings.console is not None:
            colors = _wants_colors(settings)
            sinks.append(Sink(settings.console, colors=colors, as_json=settings.as_json))
        if settings.file is not None:
            settings.file.parent.mkdir(parents=True, exist_ok=True)
            self._file = settings.file.open("a", encoding="utf-8", errors="backslashreplace")
            sinks.append(Sink(self._file, with_invocation=True))
        self.writer = LogWriter(sinks)
        self._handler: logging.Handler | None = None
        self._is_muted: Callable[[], bool] = lambda: False
        self._printed: PrintedLines | None = None

    def install(
        self,
        current: Callable[[], Attribution | None],
        is_muted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Route the logging module here, and what is printed to a console that is `sys.stdout`.

        Replaces the root logger's handlers. `is_muted`: whether what the caller logs or prints is
        dropped, because its code runs for the host's sake only.
        """
        self._is_muted = is_muted
        self._handler = _RecordHandler(self, current)
        self._handler.addFilter(lambda record: not is_muted())
        if self._settings.console is not None and self._settings.console is sys.stdout:
            self._printed = PrintedLines(sys.stdout, lambda text: self._print(text, current()))
            sys.stdout = self._printed
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(min([logging.INFO, *self._levels.values()]))
        if self._settings.debug:
            root.setLevel(logging.DEBUG)
        default = logging.INFO if self._settings.verbose else logging.WARNING
        for name, category in _SYSTEM_CATEGORIES.items():
            logging.getLogger(name).setLevel(self._level_of(category, default))
        logging.captureWarnings(True)

    def info(self, function: str, text: str) -> None:
        """Log a line of the host about an invocation of `function`."""
        if self._line_level(function) <= logging.INFO:
            self.writer.write(text)

    def error(self, function: str, text: str) -> None:
        """Log a failure of an invocation of `function`."""
        if self._line_level(function) <= logging.ERROR:
            self.writer.write(text, logging.ERROR)

    def announce(self, text: str, level: int = logging.INFO) -> None:
        """Log a line of the host that no setting hides."""
        self.writer.write(text, level)

    def user_level(self, function: str) -> int:
        """The lowest level shown of records logged by a function's code; empty: by no function."""
        level = self._user_levels.get(function)
        if level is None:
            default = logging.DEBUG if self._settings.debug else logging.INFO
            level = self._level_of(f"function.{function}.user".lower(), default)
            self._user_levels[function] = level
        return level

    def _print(self, text: str, invocation: Attribution | None) -> None:
        if self._level_of(_PRINTED, logging.INFO) <= logging.INFO and not self._is_muted():
            self.writer.write(text, logging.INFO, _tag(invocation))

    def _line_level(self, function: str) -> int:
        level = self._line_levels.get(function)
        if level is None:
            level = self._level_of(f"function.{function}".lower(), logging.INFO)
            self._line_levels[function] = level
        return level

    def close(self) -> None:
        """Write everything and give the root logger and the console back."""
        if self._printed is not None:
            self._printed.flush()
            if sys.stdout is self._printed and self._settings.console is not None:
                sys.stdout = self._settings.console
            self._printed = None
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            logging.captureWarnings(False)
            self._handler = None
        self.writer.close()
        if self._file is not None:
            self._file.close()

    def _level_of(self, category: str, default: int) -> int:
        """The longest configured prefix of a category wins, then `default`."""
        prefixes = [
            prefix
            for prefix in self._levels
            if category == prefix or category.startswith(prefix + ".")
        ]
        if prefixes:
            return self._levels[max(prefixes, key=len)]
        return self._levels.get("default", default)


class _RecordHandler(logging.Handler):
    """Hands records to the writer: the message and traceback, and whose record it is."""

    def __init__(self, logs: Logs, current: Callable[[], Attribution | None]) -> None:
        super().__init__()
        self._logs = logs
        self._current = current

    def emit(self, record: logging.LogRecord) -> None:
        invocation = self._current()
        is_system = record.name.partition(".")[0] in _SYSTEM_LOGGERS
        function = "" if invocation is None else invocation.function_name
        if not is_system and record.levelno < self._logs.user_level(function):
            return
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # A bad format string is the user's mistake to see.
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}\n{user_traceback(record.exc_info[1])}"
        elif record.exc_text:
            text = f"{text}\n{record.exc_text}"
        if record.stack_info:
            text = f"{text}\n{record.stack_info}"
        self._logs.writer.write(text, record.levelno, _tag(invocation))


def _tag(invocation: Attribution | None) -> str:
    """Whose line it is, as the log file shows it."""
    return "" if invocation is None else f"{invocation.function_name} {invocation.invocation_id}"


_HIDDEN_FOLDERS = (
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(func_py_bindings.__file__) + os.sep,
    os.path.dirname(importlib.__file__) + os.sep,
)
_HIDDEN_FILES = tuple(
    os.path.join("", *part.split("/"))
    for part in (
        "azure/functions/decorators/function_app.py",
        "azure/durable_functions/decorators/durable_app.py",
        "concurrent/futures/thread.py",
    )
)

_LIBRARIES = tuple(
    os.path.join(sysconfig.get_path(name), "")
    for name in ("stdlib", "purelib", "platlib", "scripts")
)


def user_traceback(error: BaseException) -> str:
    """The traceback of an exception as its author should see it.

    Frames of the host, of the SDK's wrappers and of the import machinery are left out, also in
    causes. A traceback that would have no frame left is shown whole: the mistake is then ours. A
    `UserError` says all in its text, and so does storage that did not do what was asked.
    """
    if isinstance(error, (StorageError, UserError)):
        return str(error)
    whole = traceback.TracebackException.from_exception(error)
    trimmed = traceback.TracebackException.from_exception(error)
    _hide_frames(trimmed)
    # Only our frames stand above a syntax error, which names its file and line itself.
    is_ours = whole.stack and not trimmed.stack and not isinstance(error, SyntaxError)
    return "".join((whole if is_ours else trimmed).format()).rstrip("\n")


def user_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """The part of a running stack that user code has to answer for, the outermost frame first.

    It begins with the first frame of code that is neither ours nor of a library. All of it when
    there is no such frame: then it is ours.
    """
    for index, frame in enumerate(stack):
        if _is_user_code(frame.filename):
            return list(stack[index:])
    return list(stack)


def user_place(stack: traceback.StackSummary) -> str:
    """Where user code stands in a stack, `file:line in function: source`; empty when it does not.

    That is the innermost frame that is neither ours nor of a library.
    """
    places = [frame for frame in stack if _is_user_code(frame.filename)]
    return shown_frame(places[-1]) if places else ""


def shown_frame(frame: traceback.FrameSummary) -> str:
    """A frame in one line."""
    return f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"


def _is_user_code(filename: str) -> bool:
    # "<" begins what is no file, such as the command that starts a process.
    return not _is_hidden(filename) and not filename.startswith(("<", *_LIBRARIES))


def _hide_frames(error: traceback.TracebackException | None) -> None:
    while error is not None:
        error.stack = traceback.StackSummary.from_list(
            [frame for frame in error.stack if not _is_hidden(frame.filename)]
        )
        for inner in error.exceptions or ():
            _hide_frames(inner)
        _hide_frames(error.__cause__)
        error = error.__context__


def _is_hidden(filename: str) -> bool:
    return filename.startswith(("<frozen ", *_HIDDEN_FOLDERS)) or filename.endswith(_HIDDEN_FILES)


def _level(name: str) -> int:
    return LEVELS.get(name.lower(), logging.INFO)


def _wants_colors(settings: LogSettings) -> bool:
    if settings.colors is not None:
        return settings.colors
    console = settings.console
    return console is not None and console.isatty() and not os.environ.get("NO_COLOR")

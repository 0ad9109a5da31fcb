"""Standard output of user code, as lines of the log. Must not print itself."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, TextIO


class PrintedLines(io.TextIOBase):
    """A text stream that hands complete lines to `emit`, and shares all else with `console`.

    A line without its end waits for it, or for a `flush`. What several threads print is put
    together per thread, so that lines stay whole.
    """

    def __init__(self, console: TextIO, emit: Callable[[str], None]) -> None:
        super().__init__()
        self._console = console
        self._emit = emit
        self._rest = threading.local()

    def write(self, text: str) -> int:
        """Take text; emit the lines that it completes."""
        whole = getattr(self._rest, "text", "") + text
        lines, newline, rest = whole.rpartition("\n")
        self._rest.text = rest
        if newline:
            self._emit(lines)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]  # Text, not bytes.
        """Take several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Emit what this thread has begun: who flushes wants to see it."""
        rest = getattr(self._rest, "text", "")
        if rest:
            self._rest.text = ""
            self._emit(rest)

    def __getattr__(self, name: str) -> Any:
        """What a text file has beyond this: `name`, `reconfigure`, …"""
        return getattr(self._console, name)

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """What holds of the console."""
        return self._console.isatty()

    def fileno(self) -> int:
        """The console's descriptor, for child processes."""
        return self._console.fileno()

    @property
    def buffer(self) -> BinaryIO:
        """The console's bytes; what is written there is no line of the log."""
        return self._console.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]  # Never None here.
        """The console's encoding."""
        return self._console.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # Read only here.
        """What the console does with characters it cannot show."""
        return self._console.errors

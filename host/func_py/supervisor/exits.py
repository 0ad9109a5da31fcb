"""Exit codes of the process, by what went wrong."""

from __future__ import annotations

import signal

from func_py.errors import DurableError, StorageUnavailable, UserError

EXIT_USER_ERROR = 1
EXIT_STORAGE_UNAVAILABLE = 3
EXIT_INTERNAL_ERROR = 70
EXIT_FORCED = 130

BUG_NOTICE = "This is a bug of func-py. Please report it with the text above."

_HINTS = {
    signal.SIGKILL: " (out of memory?)",
    signal.SIGSEGV: " (a crash in native code)",
    signal.SIGABRT: " (a crash in native code)",
}


def exit_code_of(error: Exception) -> int:
    """The exit code that tells scripts which kind of error ended the process."""
    if isinstance(error, (UserError, DurableError)):
        return EXIT_USER_ERROR
    if isinstance(error, StorageUnavailable):
        return EXIT_STORAGE_UNAVAILABLE
    return EXIT_INTERNAL_ERROR


def describe_exit(exit_code: int | None) -> str:
    """How a process ended, for people; negative codes are signals."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:
        return f"was killed by signal {-exit_code}"
    return f"was killed by {number.name}{_HINTS.get(number, '')}"

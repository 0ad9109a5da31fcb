"""Exit codes of the process, by what went wrong."""

from __future__ import annotations

from func_py.errors import DurableError, StorageUnavailable, UserError

EXIT_USER_ERROR = 1
EXIT_STORAGE_UNAVAILABLE = 3
EXIT_INTERNAL_ERROR = 70
EXIT_FORCED = 130

BUG_NOTICE = "This is a bug of func-py. Please report it with the text above."


def exit_code_of(error: Exception) -> int:
    """The exit code that tells scripts which kind of error ended the process."""
    if isinstance(error, (UserError, DurableError)):
        return EXIT_USER_ERROR
    if isinstance(error, StorageUnavailable):
        return EXIT_STORAGE_UNAVAILABLE
    return EXIT_INTERNAL_ERROR

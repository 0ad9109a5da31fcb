"""The terminal that `func-py start` runs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def own_terminal() -> Iterator[str]:
    """The path of the terminal, empty without one; on the way out it is as it was.

    A debugger's prompt changes its modes, and its process may be killed there.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        yield ""
        return
    import termios  # not everywhere; where it is missing, nothing can be started anyway

    descriptor = sys.stdin.fileno()
    try:
        modes = termios.tcgetattr(descriptor)
        path = os.ttyname(descriptor)
    except (OSError, termios.error):
        yield ""
        return
    try:
        yield path
    finally:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)

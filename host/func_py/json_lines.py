"""Lines of the log as JSON objects, for log collectors. Imports only the standard library."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping[str, object] = MappingProxyType({})

LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 10,
}
"""The levels of host.json, in lower case, as numbers of the logging module; ascending."""


def json_line(
    moment: float, level: int, text: str, tag: str = "", more: Mapping[str, object] = _NOTHING
) -> str:
    """One line of the log, with its line break.

    Args:
        moment: Seconds since the epoch.
        level: As in the logging module.
        text: May hold line breaks.
        tag: Function and invocation id, with a space between; or empty.
        more: Further keys, with JSON values.
    """
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(moment)))
    line: dict[str, object] = {
        "time": f"{stamp}.{int(moment % 1 * 1000):03d}Z",
        "level": _name(level),
        "message": text,
    }
    if tag:
        line["function"], _, line["invocationId"] = tag.partition(" ")
    return json.dumps({**line, **more}, ensure_ascii=False) + "\n"


def _name(level: int) -> str:
    """The highest level that is not above the given one."""
    names = [name for name, value in LEVELS.items() if value <= level and name != "none"]
    return names[-1].title() if names else "Trace"

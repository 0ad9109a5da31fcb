"""Time spans as host.json writes them: `hh:mm:ss`, `d.hh:mm:ss`, or a number of days."""

from __future__ import annotations

import re
from datetime import timedelta

_FORM = re.compile(
    r"(?P<sign>-)?(?:(?P<days>\d+)|(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{1,2})"
    r"(?::(?P<s>\d{1,2})(?:\.(?P<f>\d{1,7}))?)?)"
)


class TimeSpan(timedelta):
    """A `timedelta` that is written in the form of host.json."""


def parse_timespan(text: object) -> TimeSpan:
    """The time span that a text of host.json means; raises ValueError for anything else."""
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError('Expected a time span such as "00:00:30" or "1.12:00:00"')
    part = {key: int(match[key] or 0) for key in ("days", "d", "h", "m", "s")}
    if part["h"] > 23 or part["m"] > 59 or part["s"] > 59:
        raise ValueError("Expected hours below 24, minutes and seconds below 60")
    micros = int((match["f"] or "0").ljust(7, "0")) // 10
    sign = -1 if match["sign"] else 1
    span = timedelta(
        days=part["days"] + part["d"],
        hours=part["h"],
        minutes=part["m"],
        seconds=part["s"],
        microseconds=micros,
    )
    return TimeSpan(seconds=(sign * span).total_seconds())


def format_timespan(span: timedelta) -> str:
    """A time span as host.json would write it: `00:00:05`, `1.02:00:00`, `00:00:00.2500000`."""
    seconds, microseconds = span.days * 86400 + span.seconds, span.microseconds
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    if microseconds:
        text += f".{microseconds:06d}0"
    return f"{days}.{text}" if days else text

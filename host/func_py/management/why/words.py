"""Times, hosts and names in words for people."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span(length: timedelta) -> str:
    """A length of time in its two largest units: `2 d 3 h`, `4 min 10 s`, `0 s`."""
    seconds = max(0, round(length.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def clock_time(time: datetime) -> str:
    """A time to the second, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def since(time: datetime, now: datetime) -> str:
    """`for 4 min 10 s (since 2026-01-31 12:00:00 UTC)`."""
    return f"for {span(now - time)} (since {clock_time(time)})"


def ago(time: datetime, now: datetime) -> str:
    """`4 min 10 s ago (2026-01-31 12:00:00 UTC)`."""
    return f"{span(now - time)} ago ({clock_time(time)})"


def host_words(host_id: str) -> str:
    """A host of another machine."""
    return f"host {host_id[:8]}, which cannot be asked from here"


def listed(names: list[str], most: int) -> str:
    """Names in quotes, the first of them when they are many."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

"""Schedules of timer triggers: NCRONTAB expressions and constant intervals. Pure arithmetic.

NCRONTAB is cron with a field for seconds, and it ANDs day of month and day of week. What other
crons have beyond it (`7` for Sunday, `L`, `?`, `#`, `@daily`) is refused, as in the official host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from croniter import CroniterBadDateError, croniter

from func_py.config.timespan import parse_timespan

_MINUTE = timedelta(minutes=1)
_PROBE = datetime(2024, 1, 1, tzinfo=UTC)
"""From where a schedule must come at some time."""


class Schedule(Protocol):
    """When a timer fires."""

    def next_after(self, moment: datetime) -> datetime:
        """The first time after a moment; both aware, the result in the zone of the schedule."""
        ...

    @property
    def is_frequent(self) -> bool:
        """Whether it fires more than once a minute: then its status is not kept."""
        ...


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    words: Sequence[str] = ()


_MONTHS = "january february march april may june july august september october november december"
_DAYS = "sunday monday tuesday wednesday thursday friday saturday"
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS.split()),
    _Field("day of week", 0, 6, _DAYS.split()),
)
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d+))?")


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """The schedule that a text means: five or six cron fields, or a time span.

    Args:
        text: The `schedule` of a binding, settings filled in.
        zone: Where its hours are those of the clock on the wall.

    Raises:
        ValueError: It is no schedule, or never comes; the text says why.
    """
    if len(text.split()) == 1:
        return _interval(text, zone)
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"the schedule '{text}' has {len(fields)} fields; a cron expression has six: second, "
            "minute, hour, day of month, month, day of week (or five, without the second)."
        )
    try:
        normal = [_normal(value, field) for value, field in zip(fields, _FIELDS, strict=True)]
    except ValueError as exc:
        raise ValueError(f"the schedule '{text}': {exc}") from exc
    follows_clock = all(re.fullmatch(r"[\w,]+", value) for value in fields[:3])
    schedule = CronSchedule(" ".join(normal), zone, follows_clock)
    try:
        schedule.next_after(_PROBE)
    except CroniterBadDateError as exc:
        raise ValueError(f"the schedule '{text}' never comes.") from exc
    return schedule


def _interval(text: str, zone: tzinfo) -> IntervalSchedule:
    try:
        span = parse_timespan(text)
    except ValueError as exc:
        hint = " A day is 1.00:00:00." if re.match(r"\s*(2[4-9]|[3-9]\d|\d{3,}):", text) else ""
        raise ValueError(
            f"the schedule '{text}' was not recognized as a valid cron expression or timespan "
            f"string.{hint}"
        ) from exc
    if span <= timedelta(0):
        raise ValueError(f"the schedule '{text}' is no time span above zero.")
    return IntervalSchedule(timedelta(seconds=span.total_seconds()), zone)


def _normal(text: str, field: _Field) -> str:
    """A field with numbers for words, ranges in order, and `n/s` written out."""
    return ",".join(_normal_item(item, field) for item in text.split(","))


def _normal_item(item: str, field: _Field) -> str:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"'{item}' cannot be a {field.name}")
    step = match["step"]
    if step is not None and int(step) == 0:
        raise ValueError(f"'{item}' steps by zero")
    if match["all"]:
        return item
    low = _number(match["low"], field)
    high = low if match["high"] is None else _number(match["high"], field)
    if match["high"] is None and step is not None:
        high = field.high
    low, high = min(low, high), max(low, high)
    return (f"{low}-{high}" if low != high else f"{low}") + (
        f"/{step}" if step is not None and low != high else ""
    )


def _number(text: str, field: _Field) -> int:
    if text.isdecimal():
        number = int(text)
        if field.low <= number <= field.high:
            return number
        hint = " (Sunday is 0)" if field.words and number == 7 and field.high == 6 else ""
        raise ValueError(
            f"{number} cannot be a {field.name}: it goes from {field.low} to {field.high}{hint}"
        )
    if len(text) >= 3:
        for index, word in enumerate(field.words):
            if word.startswith(text.lower()):
                return field.low + index
    raise ValueError(f"'{text}' cannot be a {field.name}")


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """A constant time between two firings, whatever the clock on the wall does."""

    interval: timedelta
    zone: tzinfo

    @property
    def is_frequent(self) -> bool:
        """See `Schedule.is_frequent`."""
        return self.interval < _MINUTE

    def next_after(self, moment: datetime) -> datetime:
        """See `Schedule.next_after`."""
        return (moment.astimezone(UTC) + self.interval).astimezone(self.zone)


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """A cron expression in a zone.

    `follows_clock`: the time of day is fixed (`0 30 2 * * *`). Where the clock is put forward over
    it, it fires that much later, and where the clock is put back, once. Any other schedule fires
    at every moment whose wall time it names, so that `0 */5 * * * *` keeps its five minutes.
    """

    expression: str
    zone: tzinfo
    follows_clock: bool

    @property
    def is_frequent(self) -> bool:
        """See `Schedule.is_frequent`."""
        return not self.expression.partition(" ")[0].isdecimal()

    def next_after(self, moment: datetime) -> datetime:
        """See `Schedule.next_after`."""
        moment = moment.astimezone(UTC)
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        if self.follows_clock:
            return self._fixed(moment, wall)
        while True:
            offset = self._offset(moment)
            found = (self._next_wall(wall) - offset).replace(tzinfo=UTC)
            change = self._change_between(moment, found)
            if change is None:
                return found.astimezone(self.zone)
            # Wall times after the change begin at another place. One second before it, because the
            # first of them may fire, too.
            moment = change
            wall = (change + self._offset(change)).replace(tzinfo=None) - timedelta(seconds=1)

    def _fixed(self, moment: datetime, wall: datetime) -> datetime:
        while True:
            wall = self._next_wall(wall)
            found = wall.replace(tzinfo=self.zone)
            # The second of two equal wall times has another `fold`: it counts as passed.
            if found.astimezone(UTC) > moment:
                # By way of UTC: a wall time that does not exist becomes the one it stands for.
                return found.astimezone(UTC).astimezone(self.zone)

    def _next_wall(self, wall: datetime) -> datetime:
        found: datetime = croniter(
            self.expression, wall, datetime, second_at_beginning=True, day_or=False
        ).get_next()
        return found

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)

    def _change_between(self, low: datetime, high: datetime) -> datetime | None:
        """The first moment after `low`, up to `high`, with another offset, to the second."""
        before = self._offset(low)
        step = timedelta(days=7)
        while low < high:
            end = min(low + step, high)
            if self._offset(end) != before:
                while end - low > timedelta(seconds=1):
                    middle = low + (end - low) / 2
                    if self._offset(middle) == before:
                        low = middle
                    else:
                        end = middle
                # The search halves fractions; a change is at a whole second.
                return end.replace(microsecond=0)
            low = end
        return None

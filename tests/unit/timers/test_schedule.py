"""Schedules: what they mean, where clocks change, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from func_py.timers.schedule import parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
START = "2026-01-31T12:00:00"


def times(schedule: str, start: str = START, count: int = 3, zone: ZoneInfo | None = None) -> str:
    """The next times of a schedule, in short; `start` is wall time in the zone, UTC by default."""
    where = zone or UTC
    moment = datetime.fromisoformat(start)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=where)
    parsed = parse_schedule(schedule, where)
    found = []
    for _ in range(count):
        moment = parsed.next_after(moment)
        found.append(moment.strftime("%d %H:%M:%S" if zone is None else "%d %H:%M%z"))
    return ", ".join(found)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 */5 * * * *", "31 12:05:00, 31 12:10:00, 31 12:15:00"),
        ("*/5 * * * *", "31 12:05:00, 31 12:10:00, 31 12:15:00"),
        ("*/20 * * * * *", "31 12:00:20, 31 12:00:40, 31 12:01:00"),
        ("50/4 * * * * *", "31 12:00:50, 31 12:00:54, 31 12:00:58"),
        ("5-10/3 * * * * *", "31 12:00:05, 31 12:00:08, 31 12:01:05"),
        ("10-5 0 0 * * *", "01 00:00:05, 01 00:00:06, 01 00:00:07"),
        ("0 0 9-17/4 * * *", "31 13:00:00, 31 17:00:00, 01 09:00:00"),
        ("0 30 9 * * Mon-Fri", "02 09:30:00, 03 09:30:00, 04 09:30:00"),
        ("0 30 9 * * MONDAY,wed", "02 09:30:00, 04 09:30:00, 09 09:30:00"),
        ("0 0 0 * * fri-mon", "02 00:00:00, 03 00:00:00, 04 00:00:00"),
        ("0 0 0 1 jan,Mar *", "01 00:00:00, 01 00:00:00, 01 00:00:00"),
        ("00:10:00", "31 12:10:00, 31 12:20:00, 31 12:30:00"),
        ("1.00:00:00", "01 12:00:00, 02 12:00:00, 03 12:00:00"),
        ("2", "02 12:00:00, 04 12:00:00, 06 12:00:00"),
    ],
)
def test_schedule_comes_when_it_says(schedule: str, expected: str) -> None:
    assert times(schedule) == expected


def test_both_day_fields_must_fit() -> None:
    parsed = parse_schedule("0 0 0 13 * fri", UTC)
    first = parsed.next_after(datetime(2026, 4, 1, tzinfo=UTC))
    assert first == datetime(2026, 11, 13, tzinfo=UTC)
    assert first.strftime("%a %d") == "Fri 13"


def test_leap_day_is_found() -> None:
    parsed = parse_schedule("0 0 0 29 2 *", UTC)
    assert parsed.next_after(datetime(2026, 1, 1, tzinfo=UTC)).year == 2028


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("0 0 0 * * 7", r"7 cannot be a day of week: it goes from 0 to 6 \(Sunday is 0\)"),
        ("0 0 0 L * *", "'L' cannot be a day of month"),
        ("0 0 0 ? * *", r"'\?' cannot be a day of month"),
        ("0 0 0 * * 1#2", "'1#2' cannot be a day of week"),
        ("0 0 0 15W * *", "'15W' cannot be a day of month"),
        ("0 60 * * * *", "60 cannot be a minute: it goes from 0 to 59$"),
        ("0 0 24 * * *", "24 cannot be a hour"),
        ("0 0 0 0 * *", "0 cannot be a day of month: it goes from 1 to 31"),
        ("0 0 0 * Foo *", "'Foo' cannot be a month"),
        ("0 */0 * * * *", "steps by zero"),
        ("0 1- * * * *", "'1-' cannot be a minute"),
        ("* * * *", "has 4 fields; a cron expression has six"),
        ("* * * * * * *", "has 7 fields"),
        ("@daily", "was not recognized as a valid cron expression or timespan"),
        ("", "has 0 fields"),
        ("24:00:00", r"A day is 1\.00:00:00\."),
        ("00:00:00", "no time span above zero"),
        ("0 0 0 30 2 *", "never comes"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(schedule: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_schedule(schedule, UTC)


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        # The clock goes from 02:00 to 03:00 on 29 March 2026.
        ("0 30 2 * * *", "2026-03-28T12:00", "29 03:30+0200, 30 02:30+0200, 31 02:30+0200"),
        ("0 0 */1 * * *", "2026-03-29T00:30", "29 01:00+0100, 29 03:00+0200, 29 04:00+0200"),
        ("0 */30 * * * *", "2026-03-29T01:15", "29 01:30+0100, 29 03:00+0200, 29 03:30+0200"),
        ("0 0 9-17 * * *", "2026-03-28T17:30", "29 09:00+0200, 29 10:00+0200, 29 11:00+0200"),
        ("12:00:00", "2026-03-28T20:00", "29 09:00+0200, 29 21:00+0200, 30 09:00+0200"),
        # And from 03:00 to 02:00 on 25 October 2026.
        ("0 30 2 * * *", "2026-10-24T12:00", "25 02:30+0200, 26 02:30+0100, 27 02:30+0100"),
        ("0 0 * * * *", "2026-10-25T01:30", "25 02:00+0200, 25 02:00+0100, 25 03:00+0100"),
        ("0 */30 * * * *", "2026-10-25T02:15", "25 02:30+0200, 25 02:00+0100, 25 02:30+0100"),
        ("0 0 9-17 * * *", "2026-10-24T17:30", "25 09:00+0100, 25 10:00+0100, 25 11:00+0100"),
    ],
)
def test_change_of_the_clock(schedule: str, start: str, expected: str) -> None:
    assert times(schedule, start, zone=BERLIN) == expected


def test_fixed_time_does_not_come_again_in_the_repeated_hour() -> None:
    second_half_past_two = "2026-10-25T02:15+01:00"
    assert times("0 30 2 * * *", second_half_past_two, 1, BERLIN) == "26 02:30+0100"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/30 * * * * *", True),
        ("0,30 0 0 1 1 *", True),
        ("0 * * * * *", False),
        ("* * * * *", False),
        ("00:00:59", True),
        ("00:01:00", False),
    ],
)
def test_schedule_knows_whether_it_fires_more_than_once_a_minute(
    schedule: str, expected: bool
) -> None:
    assert parse_schedule(schedule, UTC).is_frequent is expected


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    schedule=st.sampled_from(
        ["0 */7 * * * *", "0 30 2 * * *", "15 0 0-3 * * 0", "0 0 3 25-31 3,10 *", "00:50:00"]
    ),
    zone=st.sampled_from([BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_next_time_is_later_and_unchanged_when_asked_from_in_between(
    moment: datetime, schedule: str, zone: ZoneInfo
) -> None:
    parsed = parse_schedule(schedule, zone)
    found = parsed.next_after(moment)
    assert found.astimezone(UTC) > moment
    if schedule != "00:50:00":
        middle = moment + (found - moment) / 2
        assert parsed.next_after(middle.astimezone(timezone(timedelta(hours=5)))) == found

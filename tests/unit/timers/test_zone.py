"""Which zone the schedules are in."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from func_py.errors import ConfigError
from func_py.timers.zone import schedule_zone

SUMMER = datetime(2026, 7, 1, tzinfo=UTC)


def offset(environ: dict[str, str], machine: Path = Path("/nowhere")) -> float:
    """Hours that the zone is ahead of UTC, in summer."""
    found = SUMMER.astimezone(schedule_zone(environ, machine)).utcoffset()
    assert found is not None
    return found / timedelta(hours=1)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TZ": "Europe/Berlin"}, 2),
        ({"TZ": ":Asia/Tokyo"}, 9),
        ({"TZ": "Europe/Berlin", "WEBSITE_TIME_ZONE": "Asia/Tokyo"}, 9),
        ({"TZ": ""}, 0),
        ({}, 0),
    ],
)
def test_setting_names_the_zone(environ: dict[str, str], expected: float) -> None:
    assert offset(environ) == expected


def test_without_a_setting_the_zone_is_the_machines(tmp_path: Path) -> None:
    machine = tmp_path / "localtime"
    # Version 1, no transitions, one type: 9 hours ahead, "JST".
    header = b"TZif\0" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    machine.write_bytes(header + struct.pack(">lBB", 9 * 3600, 0, 0) + b"JST\0")
    assert offset({}, machine) == 9


@pytest.mark.parametrize("name", ["Eastern Standard Time", "../etc/passwd", "Nowhere/City", "/x"])
def test_unknown_zone_is_told_with_the_setting(name: str) -> None:
    with pytest.raises(ConfigError, match=r"TZ: .* is no time zone") as caught:
        schedule_zone({"TZ": name})
    assert "Europe/Berlin" in caught.value.hint

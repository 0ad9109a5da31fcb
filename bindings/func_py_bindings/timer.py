"""The timer trigger: a moment of a schedule as `func.TimerRequest`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from azure.functions import _abc as sdk_abc
from azure.functions.meta import Datum

from func_py_bindings.contract import BindingType, FunctionSpec
from func_py_bindings.converters import decoder

TYPE = "timerTrigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """What is remembered of a monitored schedule: when it fired last and was to fire next.

    Times are aware, in the zone of the schedule. `last` None: not yet.
    """

    last: datetime | None
    next: datetime
    last_updated: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFiring:
    """One firing. `status` None: the schedule is not monitored. `is_past_due`: it comes late."""

    is_past_due: bool = False
    status: ScheduleStatus | None = None


_NEVER = "0001-01-01T00:00:00+00:00"
"""How the official host writes a time that has not been."""


def status_json(status: ScheduleStatus) -> dict[str, str]:
    """A status in the words of the official host."""
    return {
        "Last": status.last.isoformat() if status.last else _NEVER,
        "Next": status.next.isoformat(),
        "LastUpdated": status.last_updated.isoformat() if status.last_updated else _NEVER,
    }


def timer_argument(spec: FunctionSpec) -> Callable[[TimerFiring], object]:
    """What makes the argument of a timer function."""
    decode = decoder(spec, spec.trigger, TYPE)

    def argument(firing: TimerFiring) -> object:
        status = firing.status
        payload = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": None if status is None else status_json(status),
            "IsPastDue": firing.is_past_due,
        }
        return decode(Datum(json.dumps(payload), "json"), {})

    return argument


def _accepts(annotation: object) -> bool:
    return annotation in (str, bytes) or (
        isinstance(annotation, type) and issubclass(annotation, sdk_abc.TimerRequest)
    )


TYPES = (BindingType(TYPE, directions=frozenset({"in"}), is_trigger=True, accepts=_accepts),)

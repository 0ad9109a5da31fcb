"""Retry policies of functions, from the decorator's words or those of function.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from func_py.config.timespan import parse_timespan
from func_py_bindings.contract import RetryPolicy

_STRATEGIES = {
    "fixeddelay": ("delayinterval", "delayinterval"),
    "exponentialbackoff": ("minimuminterval", "maximuminterval"),
}
_SHOWN = {
    "delayinterval": "delay_interval",
    "minimuminterval": "minimum_interval",
    "maximuminterval": "maximum_interval",
}


def retry_policy(settings: Mapping[str, Any]) -> RetryPolicy:
    """The policy that settings describe; names and strategies in snake or camel case.

    Raises:
        ValueError: A part is missing or cannot be read; all of them, in one text.
    """
    values = {key.replace("_", "").lower(): value for key, value in settings.items()}
    problems = list(_problems(values))
    if problems:
        raise ValueError("its retry policy: " + "; ".join(problems))
    low, high = (parse_timespan(values[key]) for key in _STRATEGIES[_strategy(values)])
    count = int(values["maxretrycount"])
    return RetryPolicy(None if count < 0 else count, low, max(low, high))


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    bounds = _STRATEGIES.get(_strategy(values))
    if bounds is None:
        yield (
            f"the strategy is '{values.get('strategy', '')}', not fixed_delay or "
            "exponential_backoff"
        )
    try:
        if int(values["maxretrycount"]) < -1:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        yield "max_retry_count must be a number of retries, or -1 for no end"
    for key in dict.fromkeys(bounds or ()):
        try:
            is_time = parse_timespan(values.get(key)) >= timedelta(0)
        except ValueError:
            is_time = False
        if not is_time:
            yield f"{_SHOWN[key]} must be a time such as 00:00:10"


def _strategy(values: Mapping[str, Any]) -> str:
    return str(values.get("strategy", "")).replace("_", "").lower()

"""Which retry policy a triggered function has: its own, or that of host.json."""

from __future__ import annotations

from dataclasses import replace

from func_py.config.settings import RetrySettings
from func_py_bindings.contract import FunctionSpec, RetryPolicy


def with_retry(spec: FunctionSpec, settings: RetrySettings | None) -> FunctionSpec:
    """host.json's policy is for functions without one of their own."""
    if spec.retry is not None or settings is None:
        return spec
    low = settings.delay_interval or settings.minimum_interval
    high = settings.delay_interval or settings.maximum_interval
    assert low is not None, "host.json was checked"
    assert high is not None, "host.json was checked"
    most = settings.max_retry_count
    return replace(spec, retry=RetryPolicy(None if most < 0 else most, low, max(low, high)))

"""Settings of the engine, with the defaults that `func-py start` ships."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta

from func_py.durable.engine.versions import VersionFailure, VersionMatch


def _default_concurrency() -> int:
    return 10 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """`max_activities`: activity calls running at once (host.json maxConcurrentActivityFunctions).
    `session_bytes` and `session_idle` bound the live executions and entities kept in memory.
    `verify`: replay finished orchestrations once and compare (development)."""

    max_activities: int = field(default_factory=_default_concurrency)
    max_orchestrators: int | None = None
    """Orchestrations at a turn at once, see `TurnLimit` (host.json
    maxConcurrentOrchestratorFunctions); None: no limit, so that group commit is as wide as it can
    be."""
    max_entities: int = field(default_factory=_default_concurrency)
    """Entities running at once (host.json maxConcurrentEntityFunctions)."""
    max_entity_batch: int = 5000
    """Operations of one entity in one turn (host.json maxEntityOperationBatchSize)."""
    max_actions: int = 100_000
    """Tasks of one execution; it fails with more (host.json maxOrchestrationActions)."""
    session_bytes: int = 256 * 1024 * 1024
    session_idle: timedelta = timedelta(seconds=30)
    timer_horizon: timedelta = timedelta(minutes=5)
    default_version: str | None = None
    """Version of children that are started without one (host.json defaultVersion)."""
    version_match: VersionMatch = VersionMatch.CURRENT_OR_OLDER
    version_failure: VersionFailure = VersionFailure.REJECT
    verify: bool = False
    traced: bool = False
    """Orchestrations are spans of a distributed trace; what they cause belongs to them."""
    turns_per_slice: int = 64
    """Turns run before the event loop gets to do something else."""
    max_replays: int = 8
    """Histories read at a time to bring executions back."""
    max_payloads: int = 16
    """Messages whose large payloads are in memory at a time, see `Payloads`."""
    replay_slice: int = 500
    """Stored events fed before the event loop gets to do something else."""

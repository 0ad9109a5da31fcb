"""The instance record: what a status query shows, without the history."""

from __future__ import annotations

from datetime import datetime

import msgspec

from func_py.durable.model.entities import EntityState
from func_py.durable.model.events import (
    ExecutionStarted,
    FailureDetails,
    ParentLink,
    RuntimeStatus,
    TraceContext,
)


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """One instance. `input`, `output`, `custom_status` are stored text: JSON, or plain text of an
    error or a reason. `created_at` is that of the first execution and survives continue-as-new;
    `last_updated_at` is the time of the last turn's commit. `entity` is set for entities only; one
    that exists is Running, one that does not is Completed, so that it may be purged."""

    instance_id: str
    execution_id: str
    name: str
    status: RuntimeStatus
    created_at: datetime
    last_updated_at: datetime
    completed_at: datetime | None = None
    version: str | None = None
    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    failure: FailureDetails | None = None
    parent: ParentLink | None = None
    tags: dict[str, str] | None = None
    trace: TraceContext | None = None
    entity: EntityState | None = None


def pending_state(instance_id: str, start: ExecutionStarted) -> InstanceState:
    """The record of an instance that was started and has not run yet."""
    return InstanceState(
        instance_id=instance_id,
        execution_id=start.execution_id,
        name=start.name,
        status=RuntimeStatus.PENDING,
        created_at=start.timestamp,
        last_updated_at=start.timestamp,
        version=start.version,
        input=start.input,
        parent=start.parent,
        tags=start.tags,
        trace=start.trace,
    )

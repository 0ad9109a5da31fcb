"""Where an instance stands in a distributed trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from func_py.durable.model import InstanceState, RuntimeStatus, TraceContext, own_trace

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
CALLER = TraceContext(
    trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", trace_state="a=b"
)


def instance(instance_id: str = "i", **changes: object) -> InstanceState:
    state = InstanceState(
        instance_id=instance_id,
        execution_id="e",
        name="flow",
        status=RuntimeStatus.RUNNING,
        created_at=MOMENT,
        last_updated_at=MOMENT,
    )
    return replace(state, **changes)


def test_an_instance_continues_the_trace_of_its_caller_with_a_span_of_its_own() -> None:
    own = own_trace(instance(trace=CALLER))
    version, trace_id, span_id, flags = own.trace_parent.split("-")
    assert (version, trace_id, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "00")
    assert span_id != "b7ad6b7169203331"
    assert own.trace_state == "a=b"


def test_every_generation_of_an_instance_is_the_same_span() -> None:
    later = instance(execution_id="next", last_updated_at=MOMENT + timedelta(hours=1))
    assert own_trace(later) == own_trace(instance())
    assert own_trace(instance("other")) != own_trace(instance())
    assert own_trace(instance(created_at=MOMENT + timedelta(1))) != own_trace(instance())


@pytest.mark.parametrize(
    "trace_parent",
    [
        "00-zz",
        "",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_an_instance_without_a_caller_or_with_a_broken_one_begins_a_sampled_trace(
    trace_parent: str,
) -> None:
    broken = TraceContext(trace_parent=trace_parent, trace_state="a=b")
    own = own_trace(instance(trace=broken))
    assert own == own_trace(instance())
    assert own.trace_parent.endswith("-01")
    assert own.trace_state == ""

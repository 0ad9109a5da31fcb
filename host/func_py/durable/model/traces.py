"""The place of an instance in a distributed trace."""

from __future__ import annotations

import re
from hashlib import blake2b

from func_py.durable.model.events import TraceContext
from func_py.durable.model.state import InstanceState

_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)


def own_trace(state: InstanceState) -> TraceContext:
    """The trace context of the instance itself, for all that it causes.

    The span is known before it is recorded, which happens when the instance ends: its id is derived
    from what an instance keeps for life, so that turns of any host, and of any generation, agree.
    An instance that nobody's trace caused begins a trace of its own.
    """
    birth = f"{state.instance_id}|{state.created_at.isoformat()}".encode()
    digest = blake2b(birth, digest_size=24).hexdigest()
    span_id, trace_id, flags, trace_state = digest[:16], digest[16:], "01", ""
    caller = state.trace
    if caller is not None and (match := _TRACE_PARENT.fullmatch(caller.trace_parent)) is not None:
        trace_id, flags = match.groups()
        trace_state = caller.trace_state
    return TraceContext(trace_parent=f"00-{trace_id}-{span_id}-{flags}", trace_state=trace_state)

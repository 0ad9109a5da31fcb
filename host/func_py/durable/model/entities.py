"""Values of durable entities: what is asked of them, what they are, what became of a batch.

An entity is an instance named `@name@key` with an inbox and a state, and without a history. One
turn runs a batch of operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from func_py.durable.model.events import FailureDetails, TraceContext

REQUEST_EVENT = "op"
"""Name of the EventSent and EventRaised that carry an `EntityRequest`."""


class RequestTrace(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"trace_parent": "TraceParent", "trace_state": "TraceState"},
):
    """W3C trace context of whoever asked, as DurableTask writes it into a request."""

    trace_parent: str = ""
    trace_state: str | None = None


class EntityRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "operation": "op",
        "is_signal": "signal",
        "parent_execution": "parentExecution",
        "trace": "parentTraceContext",
    },
):
    """One operation asked of an entity.

    It travels as JSON text, the `input` of an event named REQUEST_EVENT: in the sender's history an
    EventSent, on its way an EventRaised. `input` is JSON text, mostly of a string that holds JSON
    again. A call (no signal) is answered to `parent` with an EventRaised named `id`.

    Source: the request message of DurableTask, of which this is the part without locks and due
    times.
    """

    id: str = ""
    operation: str | None = None
    is_signal: bool = False
    input: str | None = None
    parent: str | None = None
    parent_execution: str | None = None
    trace: RequestTrace | None = None

    @property
    def is_answered(self) -> bool:
        """Somebody waits for the result."""
        return not self.is_signal and self.parent is not None


class EntityState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entity's record holds beside that of every instance.

    `state` is JSON text, None when the entity does not exist. `recent` are the ids of the messages
    that the last turns took, oldest first: on providers that may deliver twice a message whose id
    is here was delivered already.
    """

    exists: bool = False
    state: str | None = None
    recent: tuple[str, ...] = ()


class EntityBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Operations to be run on one entity, in order, and the state they find."""

    name: str
    key: str
    exists: bool
    state: str | None
    operations: Sequence[EntityRequest]
    trace: TraceContext | None = None


class OperationResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one operation ended: `result` is JSON text; with `failure` the operation failed."""

    result: str | None = None
    failure: FailureDetails | None = None


class EntityResult(msgspec.Struct, frozen=True, kw_only=True):
    """The entity after a batch, and one result for each of its operations."""

    exists: bool
    state: str | None
    results: Sequence[OperationResult]


def request_trace(trace: TraceContext | None) -> RequestTrace | None:
    """The trace context in the form that travels with a request."""
    if trace is None:
        return None
    return RequestTrace(trace_parent=trace.trace_parent, trace_state=trace.trace_state or None)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(EntityRequest)


def encode_request(request: EntityRequest) -> str:
    """The JSON text that travels."""
    return _encode(request).decode()


def decode_request(text: str | None) -> EntityRequest | None:
    """Read back what `encode_request`, or another host, wrote; None for anything else."""
    try:
        return _decoder.decode(text or "")
    except (msgspec.DecodeError, UnicodeError):
        return None
